//! What is typed means what it says.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::{CommandFactory as _, Parser as _};

use crate::cli::args::Cli;
use crate::cli::commands::Command;
use crate::cli::env::{Environment, VARIABLES};
use crate::cli::printer::visible;
use crate::cli::settings::Settings;
use crate::config::LinkMode;
use crate::model::Sha256;
use crate::ops::LockRule;
use crate::ops::add::Item;
use crate::ops::update::What;
use crate::select::Groups;

fn parse(line: &str) -> (Command, Settings) {
    let cli = Cli::try_parse_from(std::iter::once("mpm").chain(line.split(' '))).expect("parses");
    let environment = Environment { working_folder: Some(PathBuf::from("/home/me")), ..Environment::default() };
    let settings = Settings::new(&cli.global, &environment).expect("settings");
    (cli.command, settings)
}

#[test]
fn the_grammar_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn sync_says_what_was_typed() {
    let line = format!(
        "-C sub/. sync --group eval --group dev --frozen --link hard -n --check --force -y --wait 5 --accept-key {0} \
         --accept-root sha256:{0}",
        "ab".repeat(32)
    );
    let (Command::Sync(command), settings) = parse(&line) else { panic!("sync") };
    let request = command.to_request(&settings);
    assert_eq!(request.start, PathBuf::from("/home/me/sub"));
    assert!(matches!(&request.choice.groups, Groups::Some(groups) if groups.len() == 2));
    assert_eq!(request.lock_rule, LockRule::Locked);
    assert_eq!(request.link, Some(LinkMode::Hard));
    assert!(request.dry_run && request.check && request.force && request.accepted.yes);
    assert_eq!(request.wait.as_secs(), 5);
    assert_eq!(request.accepted.keys.len(), 1);
    assert_eq!(request.accepted.roots, BTreeSet::from([Sha256::from_bytes([0xab; 32])]));
}

#[test]
fn plain_commands_ask_for_little() {
    let (Command::Sync(command), settings) = parse("install") else { panic!("install is sync") };
    let request = command.to_request(&settings);
    assert_eq!(request.choice, crate::select::Choice::default());
    assert_eq!((request.lock_rule, request.link), (LockRule::Free, None));
    assert!(!(request.dry_run || request.check || request.force || request.accepted.yes));
    let (Command::List(command), settings) = parse("list --all-groups --offline") else { panic!("list") };
    assert_eq!(command.to_request(&settings).choice.groups, Groups::All);
    assert!(settings.offline);
}

#[test]
fn add_takes_names_with_requirements() {
    let (Command::Add(command), settings) =
        parse("add demo/digits-mlp@^1.0 demo/digits --variant int8 --init --no-sync --to-group eval --registry demo")
    else {
        panic!("add")
    };
    let request = command.to_request(&settings);
    let [Item::Package(first), Item::Package(second)] = request.items.as_slice() else { panic!("two items") };
    assert_eq!(first.name.as_str(), "demo/digits-mlp");
    assert_eq!(first.requirement.as_ref().map(ToString::to_string).as_deref(), Some("^1.0"));
    assert_eq!(second.requirement, None);
    assert!(request.init && request.no_sync);
    assert_eq!(request.variants.len(), 1);
    assert_eq!(request.group.as_ref().map(ToString::to_string).as_deref(), Some("eval"));
}

#[test]
fn add_takes_repositories_of_the_hub() {
    let (Command::Add(command), settings) =
        parse("add hf:Qwen/Qwen3-0.6B@v1 --as qwen --include *.json --exclude **/*.bin --exclude x")
    else {
        panic!("add")
    };
    let request = command.to_request(&settings);
    let [Item::Hub(id)] = request.items.as_slice() else { panic!("one repository") };
    assert_eq!(id.to_string(), "hf:Qwen/Qwen3-0.6B@v1");
    assert_eq!(request.key.as_ref().map(ToString::to_string).as_deref(), Some("qwen"));
    assert_eq!((request.include.len(), request.exclude.len()), (1, 2));
}

#[test]
fn the_other_commands_say_what_was_typed() {
    let (Command::Lock(command), settings) = parse("lock --check --locked") else { panic!("lock") };
    let request = command.to_request(&settings);
    assert!(request.check && request.lock_rule == LockRule::Locked);
    let (Command::Verify(command), settings) = parse("verify --repair --store") else { panic!("verify") };
    let request = command.to_request(&settings);
    assert!(request.repair && request.store_only);
    let (Command::Update(command), settings) = parse("update demo/digits -n") else { panic!("update") };
    let request = command.to_request(&settings).expect("one name");
    assert!(request.dry_run && matches!(request.what, What::Named(names) if names.len() == 1));
    let (Command::Update(command), settings) = parse("update --precise 1.2.3 a/b") else { panic!("update") };
    assert!(
        matches!(command.to_request(&settings).expect("one").what, What::Precise(_, version) if version.minor == 2)
    );
    let (Command::Update(command), settings) = parse("update --precise 1.2.3 a/b c/d") else { panic!("update") };
    assert!(command.to_request(&settings).is_err());
    let (Command::Upgrade(command), settings) = parse("upgrade a/b hf:A/b -n") else { panic!("upgrade") };
    assert_eq!(command.to_request(&settings).names.len(), 2);
    let (Command::Remove(command), settings) = parse("remove minilm --from-group eval") else { panic!("remove") };
    assert_eq!(command.to_request(&settings).keys.len(), 1);
    let (Command::Init(command), settings) = parse("init sub --name x") else { panic!("init") };
    assert_eq!(command.to_request(&settings).folder, PathBuf::from("/home/me/sub"));
    let (Command::Diff(command), settings) = parse("diff main") else { panic!("diff") };
    assert_eq!(command.to_request(&settings).expect("one").from, "main");
    for (line, from, to) in [
        ("diff", "HEAD", None),
        ("diff a..b", "a", Some("b")),
        ("diff a b", "a", Some("b")),
        ("diff a..", "a", Some("HEAD")),
        ("diff ..b", "HEAD", Some("b")),
    ] {
        let (Command::Diff(command), settings) = parse(line) else { panic!("diff") };
        let request = command.to_request(&settings).expect(line);
        assert_eq!((request.from.as_str(), request.to.as_deref()), (from, to), "{line}");
    }
    let (Command::Diff(command), settings) = parse("diff a..b c") else { panic!("diff") };
    assert!(command.to_request(&settings).is_err());
    let (Command::Info(command), settings) = parse("info demo/digits@1") else { panic!("info") };
    assert!(command.to_request(&settings).requirement.is_some());
}

#[test]
fn what_makes_no_sense_is_refused() {
    for line in [
        "add",
        "add digits",
        "add demo/digits@newest",
        "add demo/digits --variant ../x",
        "remove",
        "sync --group x --all-groups",
        "sync --link fast",
        "sync --wait -1",
        "sync --accept-key 12",
        "run",
        "store",
        "path a/b/c",
        "login",
        "update --precise 1.0.0",
        "update --precise newest a/b",
        "why",
        "diff a...b",
        "frobnicate",
        "sync --frob",
    ] {
        let typed = std::iter::once("mpm").chain(line.split(' '));
        let error = Cli::try_parse_from(typed).expect_err(line);
        assert_eq!(error.exit_code(), 2, "{line}");
    }
}

#[test]
fn every_variable_of_an_option_is_listed() {
    let listed: BTreeSet<&str> = VARIABLES.iter().map(|variable| variable.name).collect();
    assert_eq!(listed.len(), VARIABLES.len());
    let mut commands = vec![Cli::command()];
    let mut read = BTreeSet::new();
    while let Some(command) = commands.pop() {
        for argument in command.get_arguments() {
            if let Some(name) = argument.get_env().and_then(|name| name.to_str()) {
                assert!(listed.contains(name), "{name} is not in VARIABLES");
                read.insert(name.to_owned());
            }
        }
        commands.extend(command.get_subcommands().cloned());
    }
    for variable in VARIABLES.iter().filter(|variable| variable.sets.starts_with("--")) {
        assert!(read.contains(variable.name), "no option reads {}", variable.name);
    }
}

#[test]
fn nothing_from_outside_commands_the_terminal() {
    assert_eq!(visible("a\u{1b}[31mb\u{202e}c\n"), "a\\u{1b}[31mb\\u{202e}c\n");
    assert_eq!(visible("plain é"), "plain é");
}

/// Does nothing unless [`a_panic_ends_the_process_with_the_code_for_bugs`] starts it in a process of its own.
#[test]
#[expect(clippy::disallowed_methods, reason = "a test's own variable, never a setting")]
fn helper_panics() {
    if std::env::var_os("MPM_TEST_HELPER").is_some() {
        std::panic::set_hook(Box::new(crate::cli::bug));
        panic!("the numbers do not add up");
    }
}

#[test]
fn a_panic_ends_the_process_with_the_code_for_bugs() {
    let program = std::env::current_exe().expect("this program");
    let output = std::process::Command::new(program)
        .args(["--exact", "cli::tests::helper_panics", "--nocapture"])
        .env("MPM_TEST_HELPER", "1")
        .stdin(std::process::Stdio::null())
        .output()
        .expect("it starts");
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(70), "{told}");
    for part in
        ["error[E0999]: a bug in mpm: ", "src/cli/tests.rs:", "the numbers do not add up", "\n\nhint: please report"]
    {
        assert!(told.contains(part), "{part} is not in {told}");
    }
}
