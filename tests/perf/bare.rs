//! The yardstick of row `serve`: a file server on hyper with nothing in it but a file and a body. It checks nothing, limits nothing
//! and counts nothing.
//!
//! `tests/perf/run serve` runs it; alone: `cargo bench --locked --bench bare -- FOLDER`. It prints its address and serves until it is
//! ended.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs, reason = "a benchmark")]

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::{Response, StatusCode};
use futures_util::stream;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncReadExt as _;

/// Bytes that are read at a time.
const PIECE: usize = 256 << 10;

fn main() {
    let folder = std::env::args().skip(1).find(|word| !word.starts_with('-')).map_or_else(|| ".".into(), PathBuf::from);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(serve(Arc::new(folder)));
}

async fn serve(folder: Arc<PathBuf>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let _ = stream.set_nodelay(true);
        let folder = Arc::clone(&folder);
        let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let path = folder.join(request.uri().path().trim_start_matches('/'));
            async move { Ok::<_, Infallible>(answer(path).await) }
        });
        tokio::spawn(async move {
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(path: PathBuf) -> Response<Body> {
    let Ok(mut file) = tokio::fs::File::open(path).await else {
        return Response::builder().status(StatusCode::NOT_FOUND).body(Body::empty()).unwrap();
    };
    let size = file.metadata().await.unwrap().len();
    file.set_max_buf_size(PIECE);
    let pieces = stream::try_unfold(file, |mut file| async move {
        let mut buffer = Vec::with_capacity(PIECE);
        let count = file.read_buf(&mut buffer).await?;
        Ok::<_, std::io::Error>((count > 0).then(|| (Bytes::from(buffer), file)))
    });
    Response::builder().header("content-length", size).body(Body::from_stream(pieces)).unwrap()
}
