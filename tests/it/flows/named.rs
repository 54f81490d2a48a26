//! Names of packages: searched, completed in a shell, and pages for man.

use std::path::Path;
use std::process::{Command, Stdio};

use modelpm::catalog::{PackageLeaf, build_packages};
use modelpm::model::{PackageName, Pin};
use modelpm::trust::Checkpoint;

use super::fixture::{ok, project, project_at, registry};
use crate::support::peers;
use crate::support::project::Project;
use crate::support::registry::TestRegistry;
use crate::support::server::Server;

fn names(stdout: &str) -> Vec<&str> {
    stdout.lines().filter_map(|line| line.split_whitespace().next()).collect()
}

#[test]
fn search_reads_every_kind_of_index() {
    let mut registry = registry();
    registry.yank("uci/digits", "1.0.0", "labels are shifted");
    let server = Server::start(registry.folder());
    let git = registry.as_git();
    for index in [
        registry.folder().display().to_string(),
        format!("sparse+{}", server.url()),
        format!("git+file://{}", git.bare.display()),
    ] {
        let project = project_at(&registry, &index, "");
        let found = ok(&project, &["search", "ACME", "i"]);
        assert_eq!(names(&found.stdout), ["acme/either", "acme/minilm"], "{index}");
        assert!(found.stdout.contains("acme/minilm  2.0.0      model"), "{}", found.stdout);
        assert!(!found.stderr.contains("Looked at"), "{}", found.stderr);
        assert!(ok(&project, &["search", "digits"]).stdout.contains("every release is yanked"));
        let json = ok(&project, &["search", "acme", "--limit", "1", "--json"]).json();
        assert_eq!((&json["schema"], &json["matches"]), (&"mpm.search/1".into(), &4.into()));
        assert_eq!((json["packages"].as_array().unwrap().len(), &json["looked"][0]["permille"]), (1, &1000.into()));
        ok(&project, &["search", "nothing-like-it"]).says(&["No name in acme holds nothing-like-it"]);
        project.mpm(&["search", "x", "--registry", "other"]).expect(1).says(&["E0922"]);
    }
    Project::new().mpm(&["search"]).expect(2);
    // Without a project there is what is compiled in.
    assert_eq!(names(&ok(&Project::new(), &["search", "mlp"]).stdout), ["demo/digits-mlp"]);
}

#[test]
fn one_registry_that_is_away_does_not_hide_the_others() {
    let (acme, other) = (registry(), TestRegistry::of_late("other", 60));
    let server = Server::start(other.folder());
    let address = server.url();
    drop(server);
    let rest =
        format!("[registries.other]\nindex = \"sparse+{address}\"\nroot = \"{}\"\n", other.root_sha256().prefixed());
    let project = project(&acme, &rest);
    let found = ok(&project, &["search", "lora"]).says(&["warning:", "other"]);
    assert_eq!(names(&found.stdout), ["acme/lora"]);
    project.mpm(&["search", "lora", "--registry", "other"]).expect(3);
}

#[test]
fn a_large_index_behind_a_server_is_sampled_and_says_so() {
    let mut registry = TestRegistry::of_late("big", 3_600);
    registry.namespace("big");
    // Names alone: their logs are not there, and nobody asks for them.
    let leaf = |number: usize| PackageLeaf {
        name: PackageName::parse(&format!("big/package-{number}")).unwrap(),
        log: Pin::of(&number.to_le_bytes()),
        advisories: None,
    };
    let tree = build_packages(&(0..40_000).map(leaf).collect::<Vec<_>>()).unwrap();
    for (digest, bytes) in &tree.nodes {
        std::fs::write(registry.folder().join(format!("tree/{digest}")), bytes).unwrap();
    }
    let head = registry.folder().join("checkpoint.json");
    let mut checkpoint = Checkpoint::parse(&std::fs::read(&head).unwrap()).unwrap();
    checkpoint.packages = tree.root;
    checkpoint.at.number += 1;
    std::fs::write(&head, checkpoint.render()).unwrap();
    registry.sign_file_with("checkpoint.json", &registry.index);
    let server = Server::start(registry.folder());
    let manifest = |index: &str| {
        format!("[registries.big]\nindex = \"{index}\"\nroot = \"{}\"\n", registry.root_sha256().prefixed())
    };
    let project = Project::new().manifest(&manifest(&format!("sparse+{}", server.url())));
    let told = ok(&project, &["search", "package", "--limit", "0"]).says(&[
        "Looked at about ",
        " % of the names of big",
        "--all",
    ]);
    assert!(told.stdout.is_empty());
    let nodes = server.requests().iter().filter(|request| request.path.contains("tree/")).count();
    assert!((300..=400).contains(&nodes), "{nodes} nodes");
    let json = ok(&project, &["search", "package", "--limit", "0", "--json"]).json();
    let (matches, permille) = (json["matches"].as_u64().unwrap(), json["looked"][0]["permille"].as_u64().unwrap());
    // What it says of its share is what it saw.
    assert!(matches.abs_diff(permille * 40) < 2_000 && permille < 900, "{matches} names, {permille} in a thousand");
    let json = ok(&project, &["search", "package", "--all", "--limit", "0", "--json"]).json();
    assert_eq!((&json["matches"], &json["looked"][0]["permille"]), (&40_000.into(), &1000.into()));
    let near = Project::new().manifest(&manifest(&registry.folder().display().to_string()));
    let json = ok(&near, &["search", "package-3999", "--limit", "0", "--json"]).json();
    assert_eq!(json["matches"], 11);
}

#[test]
fn completions_come_from_this_machine_alone() {
    let registry = registry();
    let server = Server::start(registry.folder());
    let rest = "[models]\nmini = { package = \"acme/minilm\", version = \"1\" }\n\n[groups.eval.datasets]\n\
                \"uci/digits\" = \"1\"\n\n[profiles.cpu]\nmini = \"int8\"\n";
    let project = project_at(&registry, &format!("sparse+{}", server.url()), rest);
    let complete = |words: &[&str]| {
        let mut all = vec!["complete", "--"];
        all.extend(words);
        let ran = ok(&project, &all);
        assert_eq!(ran.stderr, "", "{words:?}");
        ran.stdout.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    // Nothing was read yet: what Model.toml names is all that is known, and the server is not asked.
    assert_eq!(complete(&["add", ""]), ["acme/minilm", "uci/digits"]);
    assert_eq!(server.requests().len(), 0);
    ok(&project, &["lock"]);
    server.requests();
    assert_eq!(complete(&["add", "acme/"]), ["acme/either", "acme/lora", "acme/minilm", "acme/vocab"]);
    assert_eq!(complete(&["info", "acme/m"]), ["acme/minilm"]);
    assert_eq!(complete(&["remove", ""]), ["mini", "uci/digits"]);
    assert_eq!(complete(&["-C", ".", "why", ""]), ["acme/minilm", "acme/vocab", "mini", "uci/digits"]);
    assert_eq!(complete(&["sync", "--group", ""]), ["eval"]);
    assert_eq!(complete(&["list", "--profile", "c"]), ["cpu"]);
    assert_eq!(complete(&["add", "--registry", ""]), ["acme"]);
    for nothing in [&["add", "--variant", ""][..], &["add", "-"], &["sync", ""], &["sy"], &[]] {
        assert_eq!(complete(nothing), Vec::<String>::new(), "{nothing:?}");
    }
    assert_eq!(server.requests().len(), 0, "a completion asked the server");
    // A project that does not parse is no place for errors.
    project.write("Model.toml", "[models\n");
    assert!(complete(&["remove", ""]).is_empty());
    let help = ok(&project, &["--help"]).stdout;
    assert!(!help.contains("\n  complete "), "{help}");
}

#[test]
fn the_script_for_bash_completes_names() {
    let registry = registry();
    let project = project(&registry, "[models]\n\"acme/minilm\" = \"1\"\n");
    let script = ok(&project, &["completions", "bash"]).stdout;
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_mpm")).parent().unwrap();
    let ask = format!(
        "{script}\nCOMP_WORDS=(mpm add acme/m) COMP_CWORD=2\n_mpm_named mpm acme/m add\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"\n\
         COMP_WORDS=(mpm upd) COMP_CWORD=1\n_mpm_named mpm upd mpm\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"\n"
    );
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    // As an argument it would be too long by now.
    project.write("asked.sh", ask);
    let output = Command::new("bash")
        .args(["--norc", "asked.sh"])
        .current_dir(project.folder())
        .env_clear()
        .env("PATH", path)
        .env("HOME", project.home())
        .output()
        .expect("bash");
    let told = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        told.lines().collect::<Vec<_>>(),
        ["acme/minilm", "update"],
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// What a shell prints that runs a text in a project, with `mpm` on its path.
fn shell(project: &Project, program: &Path, arguments: &[&str]) -> String {
    let ours = Path::new(env!("CARGO_BIN_EXE_mpm")).parent().unwrap();
    let path = format!("{}:{}", ours.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new(program);
    command.args(arguments).current_dir(project.folder()).env_clear().env("PATH", path).env("TERM", "dumb");
    let output = command.env("HOME", project.home()).stdin(Stdio::null()).output().expect("a shell");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    told
}

#[test]
fn the_script_for_fish_completes_names() {
    let Some(fish) = peers::peer("fish") else { return };
    let registry = registry();
    let project = project(&registry, "[models]\n\"acme/minilm\" = \"1\"\n");
    project.write("mpm.fish", ok(&project, &["completions", "fish"]).stdout);
    let ask = "source mpm.fish; complete -C 'mpm add acme/m'; complete -C 'mpm upda'";
    let told = shell(&project, &fish, &["--no-config", "-c", ask]);
    let words: Vec<_> = told.lines().filter_map(|line| line.split('\t').next()).collect();
    assert_eq!(words, ["acme/minilm", "update"]);
}

#[test]
fn the_script_for_zsh_completes_names() {
    let Some(zsh) = peers::peer("zsh") else { return };
    let registry = registry();
    let project = project(&registry, "[models]\n\"acme/minilm\" = \"1\"\n");
    project.write("mpm.zsh", ok(&project, &["completions", "zsh"]).stdout);
    // A shell with a terminal of its own: the tabulator completes, and the line that came of it is printed.
    let drive = r#"
        zmodload zsh/zpty
        zpty shell 'zsh -f -i'
        zpty -w shell 'PS1=; autoload -Uz compinit; compinit -u -D; source mpm.zsh; print rea""dy'
        zpty -r shell out '*ready*'
        zpty -w -n shell $'mpm add acme/m\t\x01print -r -- "<\x05>"\n'
        zpty -r shell out $'*\n<mpm*>*'
        print -r -- "$out"
        zpty -d shell
    "#;
    let told = shell(&project, &zsh, &["-f", "-c", drive]);
    assert!(told.contains("\n<mpm add acme/minilm"), "{told}");
}

#[test]
fn pages_for_man_are_written() {
    let project = Project::new();
    ok(&project, &["completions", "--man", "pages"]).says(&["Wrote "]);
    for page in ["mpm.1", "mpm-add.1", "mpm-store-gc.1"] {
        let text = project.text(&format!("pages/{page}")).expect(page);
        assert!(text.contains(".TH") && text.contains(&page.replace(".1", "").replace('-', "\\-")), "{page}: {text}");
    }
    assert!(project.text("pages/mpm-complete.1").is_none());
    project.write("file", "");
    project.mpm(&["completions", "--man", "file/below"]).expect(1).says(&["E0997"]);
}
