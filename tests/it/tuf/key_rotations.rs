//! test_updater_key_rotations: each way from keys to keys, for the root and for what it names.

use modelpm::keys::SecretKey;
use modelpm::model::{Pin, PublicKey, Sha256};
use modelpm::trust::{Role, RoleKeys};

use super::Client;

/// Keys by number, threshold, who signs.
struct Step(&'static [usize], u64, &'static [usize]);

const FIVE: &[usize] = &[0, 1, 2, 3, 4];
const ONE_OTHER: &[usize] = &[0, 1, 3, 4, 5];

/// Name, steps from the first root on, whether the last one counts.
const ROOTS: &[(&str, &[Step], bool)] = &[
    ("1-of-1-key-rotation", &[Step(&[1], 1, &[1]), Step(&[2], 1, &[2, 1]), Step(&[2], 1, &[2])], true),
    (
        "1-of-1-key-rotation-unused-signatures",
        &[Step(&[1], 1, &[3, 1, 4]), Step(&[2], 1, &[3, 2, 1, 4]), Step(&[2], 1, &[3, 2, 4])],
        true,
    ),
    (
        "3-of-5-sign-with-different-keycombos",
        &[Step(FIVE, 3, &[0, 2, 4]), Step(FIVE, 3, &[0, 4, 1]), Step(FIVE, 3, &[0, 1, 3]), Step(FIVE, 3, &[0, 1, 3])],
        true,
    ),
    ("3-of-5-one-key-rotated", &[Step(FIVE, 3, &[0, 2, 4]), Step(ONE_OTHER, 3, &[0, 4, 1])], true),
    (
        "3-of-5-one-key-rotated-with-intermediate-step",
        &[Step(FIVE, 3, &[0, 2, 4]), Step(ONE_OTHER, 3, &[0, 2, 4, 5]), Step(ONE_OTHER, 3, &[0, 4, 5])],
        true,
    ),
    (
        "3-of-5-all-keys-rotated-with-intermediate-step",
        &[
            Step(FIVE, 3, &[0, 2, 4]),
            Step(&[5, 6, 7, 8, 9], 3, &[0, 2, 4, 5, 6, 7]),
            Step(&[5, 6, 7, 8, 9], 3, &[5, 6, 7]),
        ],
        true,
    ),
    ("1-of-3-threshold-increase-to-2-of-3", &[Step(&[1, 2, 3], 1, &[1]), Step(&[1, 2, 3], 2, &[1, 2])], true),
    (
        "2-of-3-threshold-decrease-to-1-of-3",
        &[Step(&[1, 2, 3], 2, &[1, 2]), Step(&[1, 2, 3], 1, &[1, 2]), Step(&[1, 2, 3], 1, &[1])],
        true,
    ),
    ("1-of-2-threshold-increase-to-2-of-2", &[Step(&[1], 1, &[1]), Step(&[1, 2], 2, &[1, 2])], true),
    ("not-signed-with-old-key", &[Step(&[1], 1, &[1]), Step(&[2], 1, &[2, 3, 4])], false),
    ("not-signed-with-new-key", &[Step(&[1], 1, &[1]), Step(&[2], 1, &[1, 3, 4])], false),
    ("not-signed-with-3-new-keys", &[Step(FIVE, 3, &[0, 2, 4]), Step(ONE_OTHER, 3, &[0, 2, 4])], false),
    ("not-signed-with-3-old-keys", &[Step(FIVE, 3, &[0, 2, 4]), Step(ONE_OTHER, 3, &[0, 4, 5])], false),
    ("new-threshold-not-reached", &[Step(&[1, 2, 3], 1, &[1]), Step(&[1, 2, 3], 2, &[2])], false),
    ("old-threshold-not-reached", &[Step(&[1, 2, 3], 2, &[1, 2]), Step(&[1, 2, 3], 1, &[1])], false),
];

/// Name, the role's keys, who signs, whether it counts.
const OTHERS: &[(&str, Step, bool)] = &[
    ("1-of-1-key-rotation", Step(&[2], 1, &[2]), true),
    ("1-of-1-key-rotation-unused-signatures", Step(&[1], 1, &[3, 1, 4]), true),
    ("not-signed-with-new-key", Step(&[2], 1, &[1, 3, 4]), false),
    ("one-signature-of-a-stranger", Step(ONE_OTHER, 3, &[0, 2, 4]), false),
    ("one-signature-missing", Step(ONE_OTHER, 3, &[0, 4]), false),
    ("3-of-5-first-combination", Step(FIVE, 3, &[0, 2, 4]), true),
    ("3-of-5-second-combination", Step(FIVE, 3, &[0, 4, 1]), true),
    ("3-of-5-third-combination", Step(FIVE, 3, &[0, 1, 3]), true),
    ("3-of-5-fourth-combination", Step(FIVE, 3, &[1, 2, 3]), true),
    ("3-of-5-fifth-combination", Step(FIVE, 3, &[2, 3, 4]), true),
];

fn ten() -> Vec<SecretKey> {
    (0..10).map(|_| SecretKey::generate().unwrap()).collect()
}

impl Step {
    fn keys(&self, all: &[SecretKey]) -> RoleKeys {
        let keys: Vec<PublicKey> = self.0.iter().map(|at| all[*at].public().clone()).collect();
        RoleKeys { keys, threshold: self.1 }
    }

    fn signers<'k>(&self, all: &'k [SecretKey]) -> Vec<&'k SecretKey> {
        self.2.iter().map(|at| &all[*at]).collect()
    }
}

#[test]
fn root_rotation() {
    let all = ten();
    for (case, steps, counts) in ROOTS {
        let mut client = Client::new();
        let (first, rest) = steps.split_first().unwrap();
        client.index.root.roles.insert(Role::Root, first.keys(&all));
        let bytes = client.index.root.render();
        client.index.root_digest = Sha256::of(&bytes);
        client.index.put("trust/root/1.json", bytes);
        client.sign("trust/root/1.json", &first.signers(&all));
        client.index.checkpoint();
        assert_eq!(client.refresh(), "", "{case}");
        for step in rest {
            client.index.next_root(|root| drop(root.roles.insert(Role::Root, step.keys(&all))));
            let path = format!("trust/root/{}.json", client.index.root.number);
            client.sign(&path, &step.signers(&all));
        }
        client.index.checkpoint();
        let before = client.trusted();
        assert_eq!(client.refresh(), if *counts { "" } else { "E0104" }, "{case}");
        let after = client.trusted();
        assert_eq!(after.map(|trusted| trusted.root), Some(if *counts { steps.len() as u64 } else { 1 }), "{case}");
        assert_eq!(after == before, !counts, "{case}");
        // From no memory at all, the same.
        let fresh = crate::index::fixture::Machine::new();
        assert_eq!(fresh.open(&client.index, crate::index::fixture::Way::Sparse).is_ok(), *counts, "{case}");
    }
}

#[test]
fn non_root_rotations() {
    let all = ten();
    for (case, step, counts) in OTHERS {
        let expected = if *counts { "" } else { "E0104" };
        for role in [Role::Index, Role::Registrar] {
            let mut client = Client::new();
            assert_eq!(client.refresh(), "");
            client.index.next_root(|root| drop(root.roles.insert(role, step.keys(&all))));
            client.index.registrar();
            client.index.checkpoint();
            let path = if role == Role::Index { "checkpoint.json" } else { "trust/registrar/2.json" };
            client.sign(path, &step.signers(&all));
            assert_eq!(client.refresh(), expected, "{case}, {role:?}");
            assert_eq!(client.trusted().map(|trusted| trusted.root), Some(if *counts { 2 } else { 1 }), "{case}");
        }
        // The publishers of a namespace.
        let mut client = Client::new();
        let RoleKeys { keys, threshold } = step.keys(&all);
        client.index.grant("acme", |entry| (entry.keys, entry.threshold) = (keys, threshold));
        client.index.registrar();
        client.index.checkpoint();
        let statement = Pin::of(&client.index.statement("acme/minilm", "1.1.0").render());
        client.sign(&format!("releases/{}.json", statement.sha256), &step.signers(&all));
        assert_eq!(client.take_minilm(), expected, "{case}, publishers");
    }
}
