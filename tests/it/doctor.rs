//! What a machine is found to be: `mpm doctor` and `mpm config show`.

use std::os::unix::fs::PermissionsExt as _;

use crate::flows::fixture::{ok, project, registry};
use crate::support::project::{Project, Ran};
use crate::support::registry::{BASE_TIME, TestRegistry};

/// The checks by name: state and text.
fn checks(ran: &Ran) -> Vec<(String, String, String)> {
    let word = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let all = ran.json()["checks"].as_array().unwrap().clone();
    all.iter().map(|check| (word(&check["name"]), word(&check["state"]), word(&check["text"]))).collect()
}

fn state(ran: &Ran, name: &str, part: &str) -> String {
    let all = checks(ran);
    let found = all.iter().find(|(found, _, text)| found == name && text.contains(part));
    found.unwrap_or_else(|| panic!("no {name} with {part:?} in {all:#?}")).1.clone()
}

#[test]
fn a_machine_in_order_is_told_so() {
    let registry = registry();
    let project = project(&registry, "[models]\n\"acme/lora\" = \"1\"\n");
    let fresh = project.mpm(&["doctor", "--json"]).expect(0);
    assert_eq!(state(&fresh, "registry", "acme was never met"), "note");
    ok(&project, &["sync"]);
    let ran = project.mpm(&["doctor", "--json"]).expect(0);
    assert_eq!((&ran.json()["schema"], &ran.json()["bad"]), (&"mpm.doctor/1".into(), &0.into()));
    for (name, part) in [
        ("proxy", "no proxy"),
        ("authorities", "the system's"),
        ("store", "is on "),
        ("link", "into this project by "),
        ("clock", "not behind"),
        ("registry", "acme: checkpoint "),
        ("hub", "no token"),
        ("permissions", "its own"),
    ] {
        assert_eq!(state(&ran, name, part), "good", "{name}");
    }
    let told = project.mpm(&["doctor"]).expect(0);
    assert!(
        told.stdout
            .lines()
            .all(|line| line.starts_with("ok  ") || line.starts_with("note") || line.starts_with("      "))
    );
    told.says(&["Nothing needs fixing"]);
    let left: Vec<_> = std::fs::read_dir(project.folder()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().contains("tmp")), "{left:?}");
    Project::new().mpm(&["doctor"]).expect(0);
    let lost = Project::new().variable("MPM_STORE_LAYERS", "/nonexistent/layer");
    assert_eq!(state(&lost.mpm(&["doctor", "--json"]).expect(1), "layer", "/nonexistent/layer"), "bad");
    let shown = ok(&lost, &["config", "show", "--origin"]).stdout;
    assert!(shown.contains("store.layers = /nonexistent/layer"), "{shown}");
}

#[test]
fn what_needs_fixing_is_code_1_with_what_to_do() {
    let registry = registry();
    let project = project(&registry, "[models]\n\"acme/lora\" = \"1\"\n");
    ok(&project, &["sync"]);
    let home = project.home();
    let trust = home.join(".local/state/mpm/trust");
    std::fs::set_permissions(&trust, std::fs::Permissions::from_mode(0o755)).unwrap();
    let project =
        project.variable("HTTPS_PROXY", "http://me:s3cret@proxy.example:3128").variable("http_proxy", "ftp://x");
    let project = project.variable("MPM_CA_FILE", "/nonexistent/ca.pem").variable("HF_TOKEN", "hf_s3cret");
    let ran = project.mpm(&["doctor", "--json"]).expect(1);
    assert_eq!(state(&ran, "proxy", "http://proxy.example:3128 (HTTPS_PROXY)"), "good");
    assert_eq!(state(&ran, "proxy", "http_proxy is no address"), "bad");
    assert_eq!(state(&ran, "authorities", "/nonexistent/ca.pem"), "bad");
    assert_eq!(state(&ran, "permissions", "others may read"), "bad");
    assert_eq!(state(&ran, "hub", "a token from HF_TOKEN"), "good");
    let told = project.mpm(&["doctor"]).expect(1).says(&["3 things need fixing"]);
    assert!(told.stdout.contains(&format!("chmod 700 {}", trust.display())), "{}", told.stdout);
    for text in [&ran.stdout, &told.stdout, &told.stderr] {
        assert!(!text.contains("s3cret"), "{text}");
    }
}

#[test]
fn a_store_that_can_not_be_made_is_told() {
    let project = Project::new().variable("MPM_STORE", "/proc/store");
    let ran = project.mpm(&["doctor", "--json"]).expect(1);
    assert_eq!(state(&ran, "store", "/proc/store"), "bad");
}

#[test]
fn a_clock_behind_the_newest_checkpoint_is_told() {
    if !cfg!(feature = "faults") {
        return crate::support::peers::missing("a build with the feature faults, whose clock can be set");
    }
    let mut registry = TestRegistry::new("acme");
    registry.namespace("acme");
    registry.release("acme/a", "1.0.0").file("config.json", "{}\n").publish();
    let at = |seconds: u64| {
        let project = project(&registry, "[models]\n\"acme/a\" = \"1\"\n");
        project.variable("MPM_TEST_NOW", seconds.to_string())
    };
    let now = at(BASE_TIME + 60);
    ok(&now, &["lock"]);
    let home = now.home().into_os_string();
    let behind = at(BASE_TIME - 30 * 86_400).variable("HOME", home.clone()).mpm(&["doctor", "--json"]).expect(1);
    assert_eq!(state(&behind, "clock", "the clock says"), "bad");
    let late = at(BASE_TIME + 400 * 86_400).variable("HOME", home).mpm(&["doctor", "--json"]).expect(0);
    assert_eq!(state(&late, "registry", "expired"), "note");
}

#[test]
fn each_setting_says_where_it_comes_from_and_no_secret() {
    let user = "[network]\njobs = 4\nallow-http = [\"b.example\"]\n[tokens]\n\"a.example\" = \"s3cret\"\n";
    let project = Project::new().config(user).variable("MPM_JOBS", "5").variable("HF_TOKEN", "hf_s3cret");
    let site = project.folder().join("site.toml");
    project.write(
        "site.toml",
        "unsigned = \"deny\"\n[network]\nallow-http = [\"a.example\"]\n[install]\nlink = \"hard\"\n",
    );
    let project = project.variable("MPM_TEST_SITE_CONFIG", &site);
    let shown = ok(&project, &["config", "show", "--origin"]).stdout;
    let lines: Vec<String> = shown.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let has = |text: &str| assert!(lines.iter().any(|line| line.starts_with(text)), "{text} is not in\n{shown}");
    has("network.jobs = 5 # environment: MPM_JOBS");
    has("network.allow-http = b.example # user: ");
    has("tokens.\"a.example\" = (set) # user: ");
    has("tokens.\"huggingface.co\" = (set) # environment: HF_TOKEN");
    has("registries = any # default");
    has("store.dir = ");
    if cfg!(feature = "faults") {
        has("network.allow-http = a.example # site: ");
        has("unsigned = deny # site: ");
        has("install.link = hard # site: ");
    }
    assert!(!shown.contains("s3cret"), "{shown}");
    let json = ok(&project, &["config", "show", "--json"]).json();
    assert_eq!(json["schema"], "mpm.config-show/1");
    assert!(!json.to_string().contains("s3cret"));
    assert!(!ok(&project, &["config", "show"]).stdout.contains('#'));
    project.mpm(&["config"]).expect(2);
}
