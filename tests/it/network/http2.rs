//! A server that speaks HTTP/2 and nothing else: what goes better over several lines goes over one.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::http::{Request, Response, StatusCode, Version, header};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::flows::fixture::{ok, placed, project_at};
use crate::support::blob;
use crate::support::certificates::{Authority, Flaw, Identity};
use crate::support::registry::TestRegistry;

/// Requests with their versions and ranges.
type Seen = Arc<Mutex<Vec<(Version, Option<String>)>>>;

fn answer(folder: &Path, request: &Request<hyper::body::Incoming>) -> Response<Body> {
    let Ok(bytes) = std::fs::read(folder.join(request.uri().path().trim_start_matches('/'))) else {
        return Response::builder().status(StatusCode::NOT_FOUND).body(Body::empty()).unwrap();
    };
    let range = request.headers().get(header::RANGE).map(|range| range.to_str().unwrap());
    let Some((from, last)) = range.and_then(|range| range.strip_prefix("bytes=")?.split_once('-')) else {
        return Response::new(Body::from(bytes));
    };
    let from: usize = from.parse().unwrap();
    let end = last.parse::<usize>().map_or(bytes.len(), |last| (last + 1).min(bytes.len()));
    Response::builder()
        .status(StatusCode::PARTIAL_CONTENT)
        .header(header::CONTENT_RANGE, format!("bytes {from}-{}/{}", end - 1, bytes.len()))
        .body(Body::from(bytes[from..end].to_vec()))
        .unwrap()
}

/// Serves a folder on a port that the system picks, until the process ends.
fn serve(folder: PathBuf, identity: &Identity, seen: &Seen) -> String {
    let chain = CertificateDer::pem_file_iter(&identity.certificate).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(&identity.key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = versions.with_no_client_auth().with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let (acceptor, seen) = (tokio_rustls::TlsAcceptor::from(Arc::new(config)), Arc::clone(seen));
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, folder, seen) = (acceptor.clone(), folder.clone(), Arc::clone(&seen));
                tokio::spawn(async move {
                    // Whoever offers HTTP/1.1 alone does not get through.
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = tower::service_fn(move |request: Request<hyper::body::Incoming>| {
                        let range = request.headers().get(header::RANGE);
                        let range = range.map(|range| range.to_str().unwrap().to_owned());
                        seen.lock().unwrap().push((request.version(), range));
                        let answer = answer(&folder, &request);
                        async move { Ok::<_, std::convert::Infallible>(answer) }
                    });
                    let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    let service = TowerToHyperService::new(service);
                    let _ = http.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
    });
    url
}

#[test]
fn large_blobs_come_in_segments_from_a_server_of_http2_alone() {
    let Some(authority) = Authority::new() else { return };
    let identity = authority.identity(Flaw::Nothing).expect("a certificate");
    let large = blob::safetensors(11, 3_000_000);
    let mut registry = TestRegistry::of_late("acme", 3_600);
    registry.namespace("acme");
    registry.release("acme/large", "1.0.0").file("model.safetensors", &large).publish();
    let seen = Seen::default();
    let url = serve(registry.folder().to_owned(), &identity, &seen);
    let machine = project_at(&registry, &format!("sparse+{url}/"), "[models]\n\"acme/large\" = \"1\"\n")
        .variable("MPM_CA_FILE", authority.certificate());
    ok(&machine, &["sync"]);
    assert!(placed(&machine)["models/acme/large/model.safetensors"] == large);
    let seen = seen.lock().unwrap();
    assert!(seen.iter().all(|(version, _)| *version == Version::HTTP_2), "{seen:?}");
    let segments = seen.iter().filter(|(_, range)| range.as_ref().is_some_and(|range| !range.ends_with('-'))).count();
    assert!(segments > 4, "{seen:?}");
}
