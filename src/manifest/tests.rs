//! What Model.toml may say, and how it is edited.

use proptest::prelude::{any, prop_assert_eq, proptest};

use crate::diagnose::Diagnose;
use crate::manifest::{
    DependencySource, IndexAddress, LayoutKind, Manifest, NewDependency, NewRegistry, NewSource, add_dependency,
    add_layout, add_registry, new_manifest, remove_dependency,
};
use crate::model::{
    DependencyKey, Glob, GroupName, HubRepository, HubRevision, PackageKind, PackageName, RegistryId, Requirement,
    Sha256, VariantName,
};

fn root(digit: char) -> String {
    format!("sha256:{}", digit.to_string().repeat(64))
}

fn registry(id: &str, digit: char, more: &str) -> String {
    format!("[registries.{id}]\nindex = \"builtin\"\nroot = \"{}\"\n{more}\n", root(digit))
}

/// Parses and compares the error's code, line and column.
fn check(text: &str, code: &str, line: usize, column: usize) {
    let error = Manifest::parse(text).expect_err(text);
    assert_eq!(error.code().0, code, "{error}\n{text}");
    let spot = error.spot().map(|spot| (spot.line(), spot.column()));
    assert_eq!(spot.unwrap_or_default(), (line, column), "{error}\n{text}");
}

#[test]
fn broken_manifests_are_refused_with_their_place() {
    check("a = ", "E0301", 1, 5);
    check("[models]\n\"a/b\" = \"1\"\n\"a/b\" = \"2\"\n", "E0301", 3, 1);
    check("[modles]\n", "E0302", 1, 2);
    check("[models]\n\"a/b\" = { version = \"1\", varient = \"x\" }\n", "E0302", 2, 26);
    check("[registries.a]\nindex = \"builtin\"\n", "E0303", 1, 13);
    check("[models]\n\"a/b\" = 1\n", "E0303", 2, 9);
    check("[models]\n\"a/b\" = { include = [\"x\"] }\n", "E0303", 2, 1);
    check("[models]\n\"a/b\" = \"one\"\n", "E0304", 2, 9);
    check("[models]\nqwen = \"1\"\n", "E0304", 2, 8);
    check("[models]\nqwen = { version = \"1\" }\n", "E0304", 2, 8);
    check("[models]\n\"a/b\" = { version = \"1\", to = \".git/hooks\" }\n", "E0304", 2, 31);
    check("[models]\n\"a/b\" = { version = \"1\", to = \"../x\" }\n", "E0304", 2, 31);
    check("[models]\n\"a/b\" = { version = \"1\", variants = [] }\n", "E0304", 2, 37);
    check("[models]\nqwen = { oci = \"r.example/q\" }\n", "E0305", 2, 10);
    check("[models]\nqwen = { hf = \"Qwen/Qwen3/x\" }\n", "E0304", 2, 15);
    check("[models]\nqwen = { hf = \"datasets/q\" }\n", "E0304", 2, 15);
    check("[models]\nqwen = { hf = \"a/b\", revision = \"../x\" }\n", "E0304", 2, 33);
    check("[models]\nqwen = { hf = \"a/b\", version = \"1\" }\n", "E0310", 2, 22);
    check("[models]\nqwen = { path = \"x\", revision = \"main\" }\n", "E0310", 2, 22);
    check("[models]\nqwen = { path = \"x\", hf = \"a/b\" }\n", "E0310", 2, 22);
    check("[models]\n\"a/b\" = { version = \"1\", revision = \"main\" }\n", "E0302", 2, 26);
    check("[policy]\nunsigned = \"maybe\"\n", "E0304", 2, 12);
    check("[policy.unsafe]\n\"hf:a/b@main\" = { formats = [\"pickle\"], reason = \"x\" }\n", "E0304", 2, 17);
    check("[workspace]\n", "E0305", 1, 2);
    check("[install]\nlayouts = [\"ollama\"]\n", "E0305", 2, 12);
    check("[install]\nlayouts = \"huggingface\"\n", "E0303", 2, 11);
    check("[install]\nlayouts = [\"hugging-face\"]\n", "E0304", 2, 12);
    check("[install]\nlayouts = [\"huggingface\", { layout = \"huggingface\" }]\n", "E0304", 2, 27);
    check("[install]\nlayouts = [{ layout = \"huggingface\", to = \"/hf\" }]\n", "E0304", 2, 43);
    check("[install]\nlayouts = [{ layout = \"huggingface\", to = \".mpm/hf\" }]\n", "E0304", 2, 43);
    check("[install]\nlayouts = [{ to = \"hf\" }]\n", "E0303", 2, 12);
    check("[policy]\nbans = []\n", "E0305", 2, 1);
    check("proxy = \"http://me:pw@proxy\"\n", "E0306", 1, 1);
    check("[registries.a]\ntoken = \"x\"\nindex = \"builtin\"\nroot = \"sha256:00\"\n", "E0306", 2, 1);
    check("[groups.a.models]\n\"a/b\" = \"1\"\n[models]\n\"a/b\" = \"2\"\n", "E0307", 2, 1);
    check("[models]\n\"a/b\" = \"1\"\n[datasets]\n\"a/b\" = \"1\"\n", "E0307", 4, 1);
    check(&(registry("a", '0', "") + &registry("b", '0', "")), "E0308", 5, 13);
    check(&(registry("a", '0', "default = true") + &registry("b", '1', "default = true")), "E0308", 5, 13);
    let claim = "namespaces = [\"x-y\"]";
    check(&(registry("a", '0', claim) + &registry("b", '1', "namespaces = [\"x_y\"]")), "E0308", 5, 13);
    check(&registry("path", '0', ""), "E0304", 1, 1);
    check("[profiles.cpu]\n\"a/b\" = \"x\"\n", "E0309", 2, 1);
    check("[variants.x]\ninclude = [\"**\"]\n", "E0309", 1, 2);
    check("[models]\nm = { path = \"../m\", version = \"1\" }\n", "E0310", 2, 22);
    check("[models]\n\"a/b\" = { version = \"1\", variant = \"x\", variants = [\"y\"] }\n", "E0310", 2, 26);
    check("[policy.unsafe]\n\"a/b@1.0.0\" = { formats = [\"pickle\"] }\n", "E0303", 2, 1);
    check("[policy.unsafe]\n\"a/b\" = { formats = [\"pickle\"], reason = \"x\" }\n", "E0304", 2, 9);
}

#[test]
fn limits_hold() {
    let many = (0..10_001).fold("[models]\n".to_owned(), |text, n| format!("{text}\"a/m{n}\" = \"1\"\n"));
    check(&many, "E0311", 0, 0);
    check(&" ".repeat((4 << 20) + 1), "E0301", 0, 0);
    check(&format!("a = {}1{}", "[".repeat(1000), "]".repeat(1000)), "E0301", 1, 85);
}

#[test]
fn an_index_is_an_address_or_a_folder_and_holds_no_credential() {
    for (text, good) in [
        ("builtin", true),
        ("sparse+https://models.acme.example/", true),
        ("sparse+http://127.0.0.1:8000/x", true),
        ("git+https://git.acme.example/index.git", true),
        ("git+ssh://git@git.acme.example/index.git", true),
        ("git+file:///srv/index", true),
        ("../index", true),
        ("/srv/index", true),
        ("", false),
        ("https://models.acme.example/", false),
        ("sparse+ftp://x/", false),
        ("sparse+https://me:s3cret@x/", false),
        ("sparse+https://s3cret@x/", false),
        ("git+ssh://me:s3cret@x/", false),
        ("ftp://me:s3cret@x/", false),
        ("a\\u0000b", false),
    ] {
        let text = format!("[registries.a]\nindex = \"{text}\"\nroot = \"{}\"\n", root('0'));
        let parsed = Manifest::parse(&text);
        assert_eq!(parsed.is_ok(), good, "{text}");
        if let Err(error) = parsed {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            let shown = format!("{error} {:?} {:?} {source:?}", error.hints(), error);
            assert!(!shown.contains("s3cret"), "{shown}");
        }
    }
}

#[test]
fn a_registry_answers_by_name_then_claim_then_default_then_alone() {
    let name = PackageName::parse("acme/x").unwrap();
    let answer = |text: &str, named: Option<&str>| {
        let named = named.map(|id| RegistryId::parse(id).unwrap());
        let manifest = Manifest::parse(text).unwrap();
        manifest.registry_for(&name, named.as_ref()).map(ToString::to_string).map_err(|error| error.code().0)
    };
    let (a, b) = (registry("a", '0', ""), registry("b", '1', ""));
    assert_eq!(answer("", None), Err("E0312"));
    assert_eq!(answer(&a, None), Ok("a".to_owned()));
    assert_eq!(answer(&(a.clone() + &b), None), Err("E0312"));
    assert_eq!(answer(&(a.clone() + &b), Some("b")), Ok("b".to_owned()));
    assert_eq!(answer(&a, Some("c")), Err("E0313"));
    assert_eq!(answer(&(a.clone() + &registry("b", '1', "default = true")), None), Ok("b".to_owned()));
    let claimed = registry("a", '0', "namespaces = [\"acme\"]") + &registry("b", '1', "default = true");
    assert_eq!(answer(&claimed, None), Ok("a".to_owned()));
}

#[test]
fn a_whole_manifest_says_what_it_says() {
    let text = format!(
        "{}[models]\n\"acme/minilm\" = \"^1.2\"\nold = {{ package = \"acme/minilm\", version = \"=1.0.0\", variants = \
         [\"b\", \"a\", \"b\"], to = \"x/y\", unique = true, registry = \"a\" }}\nlocal = {{ path = \"../m\" }}\n[groups.eval.datasets]\n\
         \"acme/glue\" = {{ version = \"2\", include = [\"train/**\"], exclude = [\"*.md\"] }}\n\"acme/minilm-data\" = \
         \"1\"\n[profiles.cpu]\nold = [\"q4_k_m\"]\n[install]\nmodels = \"m\"\n[policy]\nrequire-fresh = \
         true\n[policy.unsafe]\n\"acme/minilm@1.0.0\" = {{ formats = [\"pickle\"], reason = \"ours\" }}\n[package]\nname = \
         \"acme/out\"\nversion = \"1.0.0\"\nkind = \"model\"\ndir = \"out\"\ntrained-on = [\"acme/glue\"]\ndefault-variant = \
         \"f32\"\n[variants.f32]\ndir = \"f32\"\n",
        registry("a", '0', &format!("root-at = \"4:{}\"", root('2')))
    );
    let manifest = Manifest::parse(&text).unwrap();
    assert_eq!(manifest.dependencies.len(), 5);
    let declared = manifest.registries.values().next().unwrap();
    assert_eq!((&declared.index, declared.root_at.map(|(number, _)| number)), (&IndexAddress::Builtin, Some(4)));
    let old = &manifest.dependencies[1];
    assert_eq!(old.variants.iter().map(VariantName::as_str).collect::<Vec<_>>(), ["b", "a"]);
    assert!(matches!(&old.source, DependencySource::Registry { unique: true, registry: Some(_), .. }));
    assert_eq!(manifest.dependencies[2].source, DependencySource::Path("../m".to_owned()));
    assert!(manifest.dependencies[3].group.is_some() && manifest.policy.require_fresh);
    assert_eq!(manifest.install.models.as_str(), "m");
    assert_eq!(manifest.package.unwrap().variants.len(), 1);
}

fn new(key: &str, requirement: &str) -> NewDependency {
    NewDependency {
        key: DependencyKey::parse(key).unwrap(),
        kind: PackageKind::Model,
        group: None,
        source: from_registry(requirement, &[]),
        include: Vec::new(),
        exclude: Vec::new(),
    }
}

fn from_registry(requirement: &str, variants: &[&str]) -> NewSource {
    NewSource::Registry {
        package: None,
        requirement: Requirement::parse(requirement).unwrap(),
        registry: None,
        variants: variants.iter().map(|name| VariantName::parse(name).unwrap()).collect(),
    }
}

#[test]
fn a_repository_of_the_hub_is_written_down() {
    let hub = |repository: &str, exclude: &[&str]| NewDependency {
        source: NewSource::Hub {
            repository: HubRepository::parse(repository).unwrap(),
            revision: HubRevision::parse("main").unwrap(),
        },
        exclude: exclude.iter().map(|glob| Glob::parse(glob).unwrap()).collect(),
        ..new("qwen", "1")
    };
    let text = add_dependency("", &hub("Qwen/Qwen3-0.6B", &[])).unwrap();
    assert_eq!(text, "[models]\nqwen = { hf = \"Qwen/Qwen3-0.6B\", revision = \"main\" }\n");
    let manifest = Manifest::parse(&text).unwrap();
    let DependencySource::Hub(id) = &manifest.dependencies[0].source else { panic!("{manifest:?}") };
    assert_eq!(id.to_string(), "hf:Qwen/Qwen3-0.6B@main");
    // What only a package has goes, what is no business of the source stays.
    let text = "[models]\nqwen = { package = \"a/q\", version = \"1\", variant = \"x\", to = \"here\" } # mine\n";
    assert_eq!(
        add_dependency(text, &hub("a/Q", &["*.bin"])).unwrap(),
        "[models]\nqwen = { to = \"here\", hf = \"a/Q\", revision = \"main\", exclude = [\"*.bin\"] } # mine\n"
    );
}

#[test]
fn an_edit_keeps_comments_and_order() {
    let text = "# mine\n[models]\n# about a\n\"a/a\" = \"1\" # keep me\n\"a/c\" = { version = \"1\", to = \"x\" } # me too\n\n[install]\nmodels = \"m\"\n";
    let text = add_dependency(text, &new("a/b", "^2")).unwrap();
    let text = add_dependency(&text, &new("a/a", "^3")).unwrap();
    let text =
        add_dependency(&text, &NewDependency { source: from_registry("^4", &["int8"]), ..new("a/c", "^4") }).unwrap();
    assert_eq!(
        text,
        "# mine\n[models]\n# about a\n\"a/a\" = \"^3\" # keep me\n\"a/b\" = \"^2\"\n\"a/c\" = { version = \"^4\", to = \"x\", variant = \"int8\" } # me too\n\n[install]\nmodels = \"m\"\n"
    );
    let key = DependencyKey::parse("a/b").unwrap();
    let text = remove_dependency(&text, &key, None).unwrap().unwrap();
    assert!(!text.contains("a/b") && text.contains("# keep me"));
    assert_eq!(remove_dependency(&text, &key, None).unwrap(), None);
}

#[test]
fn a_fresh_manifest_grows() {
    let text = new_manifest("he\"llo");
    let registry = NewRegistry {
        id: RegistryId::parse("mpm-demo").unwrap(),
        index: "builtin".to_owned(),
        root: Sha256::of(b""),
        namespaces: vec!["demo".parse().unwrap()],
    };
    let text = add_registry(&text, &registry).unwrap();
    let text = add_dependency(&text, &new("demo/digits-mlp", "^1.1")).unwrap();
    let group = Some(GroupName::parse("eval").unwrap());
    let text = add_dependency(
        &text,
        &NewDependency { group: group.clone(), kind: PackageKind::Dataset, ..new("demo/digits", "1") },
    )
    .unwrap();
    let expected = format!(
        "[project]\nname = 'he\"llo'\n\n[registries.mpm-demo]\nindex = \"builtin\"\nroot = \"{}\"\nnamespaces = \
         [\"demo\"]\n\n[models]\n\"demo/digits-mlp\" = \"^1.1\"\n\n[groups.eval.datasets]\n\"demo/digits\" = \"1\"\n",
        Sha256::of(b"").prefixed()
    );
    assert_eq!(text, expected);
    let key = DependencyKey::parse("demo/digits").unwrap();
    assert!(remove_dependency(&text, &key, group.as_ref()).unwrap().is_some());
}

#[test]
fn layouts_are_named_or_given_a_folder() {
    let layouts = |text: &str| -> Vec<(LayoutKind, Option<String>)> {
        let manifest = Manifest::parse(text).expect(text);
        let layouts = manifest.install.layouts.into_iter();
        layouts.map(|layout| (layout.kind, layout.to.map(|to| to.to_string()))).collect()
    };
    assert_eq!(layouts("[install]\nmodels = \"m\"\n"), []);
    assert_eq!(layouts("[install]\nlayouts = []\n"), []);
    assert_eq!(layouts("[install]\nlayouts = [\"huggingface\"]\n"), [(LayoutKind::HuggingFace, None)]);
    let table = "[install]\nlayouts = [{ layout = \"huggingface\", to = \"caches/hf\" }]\n";
    assert_eq!(layouts(table), [(LayoutKind::HuggingFace, Some("caches/hf".to_owned()))]);
}

#[test]
fn a_layout_is_turned_on_where_nobody_said_otherwise() {
    let check = |before: &str, after: &str| {
        assert_eq!(add_layout(before, LayoutKind::HuggingFace).expect(before), after);
    };
    check("", "[install]\nlayouts = [\"huggingface\"]\n");
    check(
        "# a\n[install] # b\n# c\nmodels = \"m\" # d\n\n[models]\n",
        "# a\n[install] # b\n# c\nmodels = \"m\" # d\nlayouts = [\"huggingface\"]\n\n[models]\n",
    );
    for set in ["[install]\nlayouts = [] # none\n", "[install]\nlayouts = [{ layout = \"huggingface\", to = \"x\" }]\n"]
    {
        check(set, set);
    }
    assert!(add_layout("[install]\nlayouts = 1\n", LayoutKind::HuggingFace).is_err());
}

proptest! {
    #[test]
    fn any_text_parses_or_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = Manifest::parse(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn any_mutilated_manifest_parses_or_is_refused(at in 0_usize..600, cut in 0_usize..20, put in "[\\[\\]{}=\"a-z.,\n]{0,6}") {
        let mut text: Vec<char> = format!("{}[models]\n\"a/b\" = {{ version = \"1\", include = [\"**\"] }}\n[policy.unsafe]\n\"a/b@1.0.0\" = {{ formats = [\"pickle\"], reason = \"r\" }}\n", registry("a", '0', "")).chars().collect();
        let at = at.min(text.len());
        let end = (at + cut).min(text.len());
        text.splice(at..end, put.chars());
        let text: String = text.into_iter().collect();
        if let Ok(manifest) = Manifest::parse(&text) {
            prop_assert_eq!(Manifest::parse(&text).ok(), Some(manifest));
        }
    }
}
