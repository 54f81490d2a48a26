//! Tokens that `mpm login` keeps: where they lie, where they go, and that nothing else ever shows them.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Stdio;

use crate::flows::fixture::{manifest, ok, registry};
use crate::support::hub::{Access, Hub};
use crate::support::project::{Project, Ran};
use crate::support::server::{Fault, Server};

const TOKEN: &str = "s3cret-t0ken";

/// Runs a command with a text on standard input.
pub(crate) fn typed(project: &Project, arguments: &[&str], text: &str) -> Ran {
    let mut command = project.command(arguments);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("mpm starts");
    // A command that refuses before it reads closes the pipe.
    let _ = child.stdin.take().expect("stdin").write_all(text.as_bytes());
    let ran = Ran::of(&child.wait_with_output().expect("it ends"));
    assert!(!ran.stderr.contains(TOKEN) && !ran.stdout.contains(TOKEN), "{ran:?}");
    ran
}

fn kept(project: &Project) -> PathBuf {
    project.home().join(".config/mpm/credentials.toml")
}

/// What the requests carried, each once.
fn carried(server: &Server) -> Vec<Option<String>> {
    let mut all: Vec<_> =
        server.requests().into_iter().map(|request| request.headers.get("authorization").cloned()).collect();
    all.sort();
    all.dedup();
    all
}

#[test]
fn a_token_is_kept_for_its_owner_and_sent_to_its_host_alone() {
    let registry = registry();
    let (server, other) = (Server::start(registry.folder()), Server::start(registry.folder()));
    let project = Project::new();
    project.write("Model.toml", manifest(&registry, &format!("sparse+{}", server.url()), ""));
    typed(&project, &["login", "acme"], &format!("{TOKEN}\n")).expect(0).says(&[
        &format!("Stored the token for {} in ", server.host()),
        "credentials.toml",
        "sent there alone",
    ]);
    let mode = |path: PathBuf| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(kept(&project)), 0o600);
    assert_eq!(
        std::fs::read_to_string(kept(&project)).unwrap().lines().last().unwrap(),
        format!("\"{}\" = \"{TOKEN}\"", server.host())
    );
    let lock = ok(&project, &["lock"]);
    ok(&project, &["add", "acme/lora", "-v"]);
    assert_eq!(carried(&server), [Some(format!("Bearer {TOKEN}"))]);
    assert!(!lock.stderr.contains(TOKEN) && !project.text("Model.lock").unwrap().contains(TOKEN));
    // Another port is another host.
    let stranger = Project::new().variable("HOME", project.home());
    stranger.write(
        "Model.toml",
        manifest(&registry, &format!("sparse+{}", other.url()), "[models]\n\"acme/lora\" = \"1\"\n"),
    );
    ok(&stranger, &["lock"]);
    assert_eq!(carried(&other), [None]);
    // Gone is gone.
    ok(&project, &["logout", &server.host()]).says(&["Removed the token for"]);
    assert!(!kept(&project).exists());
    ok(&project, &["logout", "acme"]).says(&["No token for"]);
    ok(&project, &["update"]);
    assert_eq!(carried(&server), [None]);
}

#[test]
fn two_hosts_have_two_tokens_and_json_names_none() {
    let project = Project::new();
    for host in ["a.example", "B.example:8443"] {
        let ran = typed(&project, &["login", host, "--json"], TOKEN).expect(0);
        assert_eq!((&ran.json()["schema"], &ran.json()["host"]), (&"mpm.login/1".into(), &host.to_lowercase().into()));
    }
    let json = ok(&project, &["logout", "a.example", "--json"]).json();
    assert_eq!((&json["schema"], &json["removed"]), (&"mpm.logout/1".into(), &true.into()));
    let text = std::fs::read_to_string(kept(&project)).unwrap();
    assert!(text.contains("\"b.example:8443\"") && !text.contains("a.example\" "), "{text}");
    let shown = ok(&project, &["config", "show", "--origin"]).stdout;
    let line = shown.lines().find(|line| line.contains("b.example")).unwrap();
    assert!(line.starts_with("tokens.\"b.example:8443\" = (set)") && line.ends_with("credentials.toml"), "{line}");
}

#[test]
fn what_is_no_host_and_no_token_is_refused() {
    let registry = registry();
    let project = Project::new();
    project.write("Model.toml", manifest(&registry, &registry.folder().display().to_string(), ""));
    typed(&project, &["login", "acmee"], TOKEN).expect(1).says(&["E0971", "did you mean acme?", "nothing was stored"]);
    typed(&project, &["login", "https://a.example/"], TOKEN).expect(1).says(&["E0971", "a host is written like"]);
    typed(&project, &["login", "acme"], TOKEN).expect(1).says(&["E0972", "is a folder"]);
    typed(&project, &["login", "a.example"], "").expect(2).says(&[
        "E0973",
        "what came is empty",
        "mpm login a.example < FILE",
    ]);
    typed(&project, &["login", "a.example"], "two words\n").expect(2).says(&["E0973", "printable"]);
    project.mpm(&["login", "a.example", TOKEN]).expect(2);
    project.mpm(&["login"]).expect(2);
    assert!(!kept(&project).exists());
}

#[test]
fn a_file_that_others_may_read_is_not_used() {
    let registry = registry();
    let server = Server::start(registry.folder());
    let project = Project::new();
    project.write(
        "Model.toml",
        manifest(&registry, &format!("sparse+{}", server.url()), "[models]\n\"acme/lora\" = \"1\"\n"),
    );
    typed(&project, &["login", "acme"], TOKEN).expect(0);
    std::fs::set_permissions(kept(&project), std::fs::Permissions::from_mode(0o644)).unwrap();
    project.mpm(&["lock"]).expect(1).says(&["E0182", "mode 644", "chmod 600", "have them replaced"]);
    assert_eq!(server.requests().len(), 0);
    project.mpm(&["doctor"]).expect(1);
    std::fs::write(kept(&project), format!("tokens = \"{TOKEN}\"")).unwrap();
    std::fs::set_permissions(kept(&project), std::fs::Permissions::from_mode(0o600)).unwrap();
    let ran = project.mpm(&["lock"]).expect(1).says(&["E0181", "credentials.toml line 1, column 10"]);
    assert!(!ran.stderr.contains(TOKEN), "{}", ran.stderr);
}

#[test]
fn a_refused_request_says_how_to_log_in() {
    let registry = registry();
    let server = Server::start(registry.folder());
    server.fault("checkpoint.json", 9, Fault::Status(401, None));
    let project = Project::new();
    project.write(
        "Model.toml",
        manifest(&registry, &format!("sparse+{}", server.url()), "[models]\n\"acme/lora\" = \"1\"\n"),
    );
    project.mpm(&["lock"]).expect(3).says(&["401", &format!("run `mpm login {}`", server.host())]);
}

/// A helper that keeps tokens in a folder and writes down what it is asked.
fn helper(project: &Project) -> PathBuf {
    let path = project.home().join("helper");
    let text = "#!/bin/sh\nread -r line\necho \"$line\" >> \"$1/asked\"\n\
                case $line in\n*'\"action\":\"store\"'*) echo \"$line\" | sed 's/.*\"token\":\"\\([^\"]*\\)\".*/\\1/' > \"$1/kept\" ;;\n\
                *'\"action\":\"erase\"'*) rm -f \"$1/kept\" ;;\n\
                *) [ -f \"$1/kept\" ] && { printf '{\"type\":\"mpm.credential/1\",\"token\":\"%s\"}' \"$(cat \"$1/kept\")\"; exit; } ;;\nesac\n\
                echo '{\"type\":\"mpm.credential/1\"}'\n";
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn a_helper_keeps_tokens_instead_of_the_file() {
    let registry = registry();
    let server = Server::start(registry.folder());
    let project = Project::new();
    let program = helper(&project);
    let project = project.config("");
    let config = format!("[credentials]\nhelper = [\"{}\", \"{}\"]\n", program.display(), project.home().display());
    let project = project.config(&config);
    let rest = "[models]\n\"acme/lora\" = \"1\"\n";
    project.write("Model.toml", manifest(&registry, &format!("sparse+{}", server.url()), rest));
    typed(&project, &["login", "acme"], TOKEN).expect(0).says(&["the helper "]);
    assert!(!kept(&project).exists());
    ok(&project, &["sync"]);
    assert_eq!(carried(&server), [Some(format!("Bearer {TOKEN}"))]);
    let asked = std::fs::read_to_string(project.home().join("asked")).unwrap();
    let get = format!("{{\"action\":\"get\",\"host\":\"{}\",\"type\":\"mpm.credential-request/1\"}}", server.host());
    assert_eq!(asked.lines().filter(|line| *line == get).count(), 1, "asked once a run:\n{asked}");
    typed(&project, &["logout", "acme"], "").expect(0);
    ok(&project, &["update"]);
    assert_eq!(carried(&server), [None]);
    // A no-op opens no socket, and asks nobody.
    std::fs::remove_file(project.home().join("asked")).unwrap();
    ok(&project, &["sync"]);
    assert!(!project.home().join("asked").exists());
    std::fs::remove_file(&program).unwrap();
    project.mpm(&["update"]).expect(1).says(&["E0183", "can't be started", "docs/formats/credentials.md"]);
    typed(&project, &["login", "acme"], TOKEN).expect(1).says(&["E0974"]);
    project.mpm(&["doctor"]).expect(1);
}

#[test]
fn a_project_can_name_no_helper() {
    let project = Project::new().manifest("[credentials]\nhelper = [\"/bin/true\"]\n");
    project.mpm(&["lock"]).expect(1).says(&["E0306", "credentials", "config.toml"]);
    let relative = Project::new().config("[credentials]\nhelper = [\"helper\"]\n").manifest("");
    relative.mpm(&["lock"]).expect(1).says(&["E0354", "absolute path"]);
}

#[test]
fn the_hub_takes_a_token_of_login_too() {
    let hub = Hub::start();
    hub.token(TOKEN, Access::All);
    hub.model("org/private").file("config.json", "{}\n").private().commit("main");
    let project = Project::new().manifest("").variable("HF_ENDPOINT", hub.url());
    project.mpm(&["add", "hf:org/private"]).expect(1);
    typed(&project, &["login", "hf"], TOKEN).expect(0);
    let ran = ok(&project, &["add", "hf:org/private"]);
    assert!(!ran.stderr.contains(TOKEN));
}
