//! Behind an air gap: how old a bundle may be, and whose word lets one in.

use super::{Maker, Site};
use crate::flows::fixture::{folder, manifest, ok, registry};
use crate::support::project::Project;
use crate::support::unshared::runs_without_sockets;

const DAY: u64 = 86_400;

/// A project whose machine has this configuration of the site, at this time.
fn inside(project: Project, site: &str, now: u64) -> Project {
    let path = project.home().join("site.toml");
    std::fs::write(&path, site).unwrap();
    project.variable("MPM_TEST_SITE_CONFIG", path).variable("MPM_TEST_NOW", now.to_string())
}

#[test]
fn what_has_expired_passes_as_long_as_the_site_says_and_its_age_is_told() {
    let registry = registry();
    let maker = Maker::of(&registry, &folder(&registry));
    let (bundle, told) = maker.make("site.mpmb", &["--all"]);
    let issued = told["issued"].as_u64().unwrap();
    let listed = ok(&maker.project, &["--json", "bundle", "list", &bundle.display().to_string()]).json();
    let late = listed["expires"].as_u64().unwrap() + 3 * DAY;
    let days = (late - issued) / DAY;
    let at = |config: &str, now: u64| {
        let site = Site::of(&registry);
        Site { project: inside(site.project, config, now), ..site }
    };
    // Without a word of the site's, an expired bundle gives no new trust.
    let site = at("", late);
    site.import(&bundle, &[]).expect(4).says(&["E0116", "expired 3 days ago"]);
    assert!(!site.folder.exists());
    // Within the limit it does, and says how old it is; a reader behind it says so too.
    let limit = format!("max-staleness = \"{}d\"\n", days + 1);
    let site = at(&limit, late);
    site.import(&bundle, &[]).expect(0).says(&["max-staleness", &format!("{days} days old")]);
    let rest = "[models]\n\"acme/vocab\" = \"1\"\n";
    let machine = inside(Project::new().manifest(&manifest(&registry, &site.text(), rest)), &limit, late);
    ok(&machine, &["--offline", "sync"]).says(&["max-staleness"]);
    let without = inside(Project::new().manifest(&manifest(&registry, &site.text(), rest)), "", late);
    without.mpm(&["--offline", "sync"]).expect(4).says(&["E0116"]);
    // Beyond it does not; importing the same again makes nothing younger.
    let beyond = late + 2 * DAY;
    let site = Site { project: inside(site.project, &limit, beyond), ..site };
    site.import(&bundle, &[]).expect(4).says(&["E0116", "max-staleness", "nothing younger"]);
    let machine = inside(Project::new().manifest(&manifest(&registry, &site.text(), rest)), &limit, beyond);
    machine.mpm(&["--offline", "sync"]).expect(4).says(&["E0116"]);
    // What a lock pins goes on installing.
    let pinned = inside(Project::new().manifest(&manifest(&registry, &site.text(), rest)), &limit, late);
    ok(&pinned, &["--offline", "sync"]);
    let pinned = inside(pinned, &limit, beyond);
    ok(&pinned, &["--offline", "sync", "--locked"]);
}

#[test]
fn only_what_the_sites_key_let_in_is_read_where_the_site_says_so() {
    let registry = registry();
    let maker = Maker::of(&registry, &folder(&registry));
    let (bundle, _) = maker.make("site.mpmb", &["--all"]);
    let now = registry.now().seconds();
    let site = Site::of(&registry);
    ok(&site.project, &["key", "new", "import.key", "--no-password"]);
    ok(&site.project, &["key", "new", "other.key", "--no-password"]);
    let public = |name: &str| {
        let text = site.project.text(name).unwrap();
        text.lines().nth(1).unwrap().to_owned()
    };
    let config = format!("import-key = \"{}\"\n", public("import.key.pub"));
    let rest = "[models]\n\"acme/vocab\" = \"1\"\n";
    let place = site.text();
    let reader = || inside(Project::new().manifest(&manifest(&registry, &place, rest)), &config, now);
    // A mirror that somebody filled without a record is refused, and so is the bundle itself.
    let plain = Site { project: Project::new(), folder: site.folder.clone(), root: site.root.clone() };
    plain.import(&bundle, &[]).expect(0);
    reader().mpm(&["--offline", "lock"]).expect(4).says(&["E0126", "import record", "--sign KEY"]);
    let direct = Project::new().manifest(&manifest(&registry, &bundle.display().to_string(), rest));
    inside(direct, &config, now).mpm(&["--offline", "lock"]).expect(4).says(&["E0126"]);
    // The site's machine must sign, with that key.
    let keys = site.project.folder();
    let keeper = Site { project: inside(site.project, &config, now), ..plain };
    keeper.import(&bundle, &[]).expect(2).says(&["E0911", "--sign KEY"]);
    let key = |name: &str| keys.join(name).display().to_string();
    keeper.import(&bundle, &["--sign", &key("other.key")]).expect(1).says(&["E1015"]);
    let told = keeper.import(&bundle, &["--sign", &key("import.key")]).expect(0).json();
    let record = keeper.folder.join(told["record"].as_str().unwrap());
    let machine = reader();
    ok(&machine, &["--offline", "sync"]);
    ok(&keeper.project, &["mirror", "status", &keeper.text()]);
    // The record is kept with what the machine remembers: it goes on without the mirror's.
    let kept = std::fs::read(&record).unwrap();
    std::fs::remove_file(&record).unwrap();
    ok(&machine, &["--offline", "lock"]);
    reader().mpm(&["--offline", "lock"]).expect(4).says(&["E0126"]);
    // A record that says something else under the same signature counts for nothing.
    std::fs::write(&record, String::from_utf8(kept).unwrap().replace("\"time\": 1", "\"time\": 2")).unwrap();
    reader().mpm(&["--offline", "lock"]).expect(4).says(&["E0126"]);
}

#[test]
fn the_store_of_a_site_with_a_key_keeps_the_record() {
    let registry = registry();
    let maker = Maker::of(&registry, &folder(&registry));
    let (bundle, _) = maker.make("site.mpmb", &["acme/vocab"]);
    let rest = "[models]\n\"acme/vocab\" = \"1\"\n";
    let file = bundle.display().to_string();
    let machine = Project::new().manifest(&manifest(&registry, &file, rest));
    ok(&machine, &["key", "new", "import.key", "--no-password"]);
    let key = machine.text("import.key.pub").unwrap();
    let config = format!("import-key = \"{}\"\n", key.lines().nth(1).unwrap());
    let machine = inside(machine, &config, registry.now().seconds());
    machine.mpm(&["--offline", "sync"]).expect(4).says(&["E0126"]);
    ok(&machine, &["bundle", "import", &file, "--into", "store", "--sign", "import.key"]);
    ok(&machine, &["--offline", "sync"]);
}

#[test]
fn a_site_without_a_network_imports_and_installs() {
    let registry = registry();
    let maker = Maker::of(&registry, &folder(&registry));
    let (bundle, _) = maker.make("site.mpmb", &["--all"]);
    let rest = "[models]\n\"acme/minilm\" = \"1\"\n";
    let site = Project::new().manifest(&manifest(&registry, "sparse+https://models.acme.example/", rest));
    let mirror = site.home().join("mirror").display().to_string();
    let root = registry.root_sha256().prefixed();
    let site = site.config(&format!("[index-mirrors]\n\"{root}\" = [\"{mirror}\"]\n"));
    let (trace, file) = (site.home().join("trace"), bundle.display().to_string());
    for arguments in [
        &["bundle", "list", &file][..],
        &["bundle", "verify", &file],
        &["bundle", "import", &file, "--into", &mirror],
        &["bundle", "import", &file, "--into", "store"],
        &["sync"],
    ] {
        if !runs_without_sockets(&site, arguments, &trace) {
            return;
        }
    }
    assert!(site.read("models/acme/minilm/model.safetensors").is_some());
}

#[test]
fn neither_can_be_said_by_a_user_or_a_project() {
    for line in ["max-staleness = \"90d\"", "import-key = \"RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3\""]
    {
        let user = Project::new().manifest("[project]\nname = \"p\"\n").config(&format!("{line}\n"));
        user.mpm(&["list"]).expect(1).says(&["E0354", "/etc/mpm/config.toml"]);
        let project = Project::new().manifest(&format!("[project]\nname = \"p\"\n[policy]\n{line}\n"));
        assert_ne!(project.mpm(&["lock"]).code, 0);
        let site = inside(Project::new(), &format!("{line}\n"), 1_800_000_000);
        let shown = ok(&site, &["config", "show"]);
        assert!(shown.stdout.contains(line.split_once(' ').unwrap().0), "{}", shown.stdout);
    }
}
