//! Large indexes. `tests/run --full` takes the sizes that the design is made for, a plain run takes smaller ones.

use modelpm::catalog::{Node, PackageLeaf, build_packages, key_of};
use modelpm::model::{PackageName, Pin};

/// Whether the long form was asked for.
pub fn full() -> bool {
    std::env::var_os("MPM_FULL").is_some()
}

#[test]
fn a_look_up_in_a_large_index_reads_little() {
    let count = if full() { 1_000_000 } else { 20_000 };
    let name = |number: usize| PackageName::parse(&format!("ns{}/package-{number}", number % 977)).unwrap();
    let entries: Vec<PackageLeaf> = (0..count)
        .map(|number| PackageLeaf { name: name(number), log: Pin::of(&number.to_le_bytes()), advisories: None })
        .collect();
    let tree = build_packages(&entries).unwrap();
    for number in [0, 1, count / 3, count - 1] {
        let wanted = name(number);
        let key = key_of(&wanted.normalised()).hex();
        let (mut digest, mut prefix, mut steps, mut bytes) = (tree.root, String::new(), 0, 0);
        let leaf = loop {
            let node = &tree.nodes[&digest];
            (steps, bytes) = (steps + 1, bytes + node.len());
            match Node::parse_packages(node, &prefix).unwrap() {
                Node::Leaf(lines) => break lines,
                Node::Inner(children) => {
                    prefix.push(key.as_bytes()[prefix.len()] as char);
                    let digit = u8::from_str_radix(&prefix[prefix.len() - 1..], 16).unwrap();
                    digest = children[&digit];
                }
            }
        };
        let found = leaf.iter().find(|line| line.name == wanted).expect("the leaf holds the name");
        assert_eq!(found.log, Pin::of(&number.to_le_bytes()));
        assert!(steps <= 6 && bytes <= 16 * 1024, "{wanted}: {steps} nodes of {bytes} bytes");
    }
}
