//! `sync --to`: what a project needs, in a folder to be packed.

use crate::config::LinkMode;
use crate::install::{InstallError, Layer, Placing, Site};
use crate::lock::SourceFiles;
use crate::model::RelPath;
use crate::ops::pipeline::{self, Carried};
use crate::ops::project;
use crate::ops::sync::{Export, Outcome, Records, Request};
use crate::ops::{PipelineError, ProjectError};
use crate::store::Store;
use crate::sys::files;

/// Largest table of `Model.lock.d/` that is copied, in bytes.
const MAX_TABLE: u64 = 512 << 20;

/// The folder as the room of placed files sees it.
pub(super) fn site<'a>(store: &'a Store, export: &'a Export, link: LinkMode) -> Site<'a> {
    Site { project: &export.to, store, link }
}

/// Places what was cleared there.
pub(super) fn export(
    carried: &Carried<'_>,
    request: &Request,
    export: &Export,
    placing: Placing<'_>,
    mut outcome: Outcome,
) -> Result<Outcome, PipelineError> {
    let Carried { services, project, store, lock } = carried;
    let link = pipeline::link_of(services, request);
    let site = site(store, export, link);
    let mut plan = site.plan_layer(placing, &services.cancel)?;
    plan.statements = lock.packages.iter().map(|(id, locked)| (id.clone(), locked.statement.sha256)).collect();
    plan.choice = request.choice.clone();
    plan.meaning = Some(project::meaning(&project.manifest, lock, &request.choice));
    outcome.changed = pipeline::changed(&plan, placing.cleared.selected());
    let inputs = match export.records {
        Records::None => None,
        Records::Whole => {
            copy_texts(carried, export)?;
            let text = pipeline::settings_text(&request.choice, link);
            Some(project::inputs(&project.manifest_text, &lock.render(), &text))
        }
    };
    let layer = Layer { placing, time: export.time, inputs };
    outcome.applied = site.make_layer(&plan, layer, &services.cancel, &*services.progress)?;
    outcome.up_to_date = plan.is_empty() && !outcome.lock_written;
    outcome.to = Some(export.to.clone());
    Ok(outcome)
}

/// Model.toml, Model.lock and its tables. Other ones that stand there are somebody's project.
fn copy_texts(carried: &Carried<'_>, export: &Export) -> Result<(), PipelineError> {
    let Carried { project, lock, .. } = carried;
    let mut texts = vec![
        ("Model.toml".to_owned(), project.manifest_text.clone().into_bytes()),
        ("Model.lock".to_owned(), lock.render().into_bytes()),
    ];
    for source in lock.sources.values() {
        let SourceFiles::Table(pin) = &source.files else { continue };
        let below = format!("Model.lock.d/{}.json", pin.sha256);
        let path = project.folder.join(&below);
        let bytes = files::read_capped(&path, MAX_TABLE)
            .and_then(|found| found.ok_or_else(|| std::io::ErrorKind::NotFound.into()))
            .map_err(|source| ProjectError::Read { path, source })?;
        texts.push((below, bytes));
    }
    project::refuse_link(&export.to.join("Model.lock.d"))?;
    let mut in_the_way = Vec::new();
    let mut missing = Vec::new();
    for (below, bytes) in texts {
        let path = export.to.join(&below);
        match path.symlink_metadata() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => missing.push((path, bytes)),
            Err(source) => return Err(ProjectError::Read { path, source }.into()),
            // What is larger than ours, a link or no file reads as something else.
            Ok(_) if files::read_capped(&path, bytes.len() as u64).is_ok_and(|found| found == Some(bytes)) => {}
            Ok(_) => in_the_way.extend(RelPath::parse(&below)),
        }
    }
    if !in_the_way.is_empty() {
        return Err(InstallError::InTheWay { paths: in_the_way }.into());
    }
    for (path, bytes) in missing {
        project::write(&path, &bytes)?;
    }
    Ok(())
}
