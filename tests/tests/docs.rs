//! The documentation is walked on: links lead somewhere, commands exist. No network, and nothing is rendered.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use dcbridge::cli::Cli;

/// A line of a page, and where it stands.
struct Line<'a> {
    number: usize,
    text: &'a str,
    /// Inside a fenced block.
    code: bool,
}

/// The lines of a page; the fences themselves are left out.
fn lines(page: &str) -> Vec<Line<'_>> {
    let mut code = false;
    let mut lines = Vec::new();
    for (index, text) in page.lines().enumerate() {
        if text.trim_start().starts_with("```") {
            code = !code;
        } else {
            lines.push(Line { number: index + 1, text, code });
        }
    }
    lines
}

/// What stands between backticks in a line.
fn spans(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// A line without what stands between backticks.
fn prose(text: &str) -> String {
    text.split('`').step_by(2).collect()
}

/// Targets of the links and pictures of a line: what follows `](`, up to the closing parenthesis.
fn targets(text: &str) -> Vec<String> {
    let text = prose(text);
    text.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0.to_owned())).collect()
}

/// The anchors of a page's headings, as GitHub names them.
fn anchors(page: &str) -> Vec<String> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let headings = lines(page).into_iter().filter(|line| !line.code && line.text.starts_with('#'));
    headings
        .map(|line| {
            let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
            let title = line.text.trim_start_matches('#').trim().to_lowercase();
            let slug = title.chars().filter(kept).collect::<String>().replace(' ', "-");
            let before = seen.entry(slug.clone()).or_default();
            *before += 1;
            if *before == 1 { slug } else { format!("{slug}-{}", *before - 1) }
        })
        .collect()
}

/// Words that follow `dcbridge ` in code, where they can only be subcommands.
fn subcommands(code: &str) -> impl Iterator<Item = &str> {
    code.match_indices("dcbridge ").filter_map(|(at, name)| {
        let before = &code[..at];
        let word = code[at + name.len()..].split([' ', '\'', '"', ';', ')']).next()?;
        let is_program =
            before.is_empty() || [" ", "(", "\"", "bin/", "release/"].iter().any(|b| before.ends_with(b));
        let is_word = !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase());
        (is_program && is_word).then_some(word)
    })
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// README.md and every page below `docs`, by their paths from the root.
fn pages() -> Vec<(PathBuf, String)> {
    let mut found = vec![PathBuf::from("README.md")];
    let mut folders = vec![PathBuf::from("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).expect("a folder of the repository") {
            let path = folder.join(entry.expect("an entry").file_name());
            if root().join(&path).is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "md") {
                found.push(path);
            }
        }
    }
    found.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(root().join(&path)).expect("a page");
        (path, text)
    };
    found.into_iter().map(read).collect()
}

/// Why a link leads nowhere.
fn broken(page: &Path, own_text: &str, target: &str) -> Option<String> {
    let (path, anchor) = target.split_once('#').map_or((target, None), |(p, a)| (p, Some(a)));
    let file = if path.is_empty() { page.to_owned() } else { page.parent()?.join(path) };
    let on_disk = root().join(&file);
    if !on_disk.exists() {
        return Some(format!("there is no {}", file.display()));
    }
    let anchor = anchor?;
    let text = if path.is_empty() { own_text.to_owned() } else { fs::read_to_string(on_disk).ok()? };
    (!anchors(&text).iter().any(|a| a == anchor))
        .then(|| format!("{} has no heading #{anchor}", file.display()))
}

#[test]
fn every_link_leads_somewhere() {
    let mut wrong = Vec::new();
    let mut checked = 0;
    for (page, text) in pages() {
        for line in lines(&text).iter().filter(|line| !line.code) {
            for target in targets(line.text).iter().filter(|t| !t.contains("://")) {
                checked += 1;
                if let Some(why) = broken(&page, &text, target) {
                    wrong.push(format!("{}:{}: {why}", page.display(), line.number));
                }
            }
        }
    }
    assert!(checked > 50, "only {checked} links were found: does the test still understand the pages?");
    assert!(wrong.is_empty(), "broken links:\n{}", wrong.join("\n"));
}

#[test]
fn every_page_is_in_the_index() {
    let index = Path::new("docs/README.md");
    let (_, text) = pages().into_iter().find(|(path, _)| path == index).expect("docs/README.md");
    let linked: Vec<PathBuf> = lines(&text)
        .iter()
        .flat_map(|line| targets(line.text))
        .filter_map(|t| fs::canonicalize(root().join("docs").join(t.split('#').next()?)).ok())
        .collect();
    for (page, _) in pages().iter().filter(|(page, _)| page.starts_with("docs") && page != index) {
        let here = fs::canonicalize(root().join(page)).expect("a page");
        assert!(linked.contains(&here), "docs/README.md does not lead to {}", page.display());
    }
}

#[test]
fn every_command_exists() {
    let program = Cli::command();
    let mut wrong = Vec::new();
    let mut checked = 0;
    for (page, text) in pages() {
        for line in lines(&text) {
            let code: Vec<&str> = if line.code { vec![line.text] } else { spans(line.text).collect() };
            for word in code.into_iter().flat_map(subcommands) {
                checked += 1;
                if word != "help" && program.find_subcommand(word).is_none() {
                    wrong.push(format!("{}:{}: dcbridge {word}", page.display(), line.number));
                }
            }
        }
    }
    assert!(checked > 20, "only {checked} commands were found: does the test still understand the pages?");
    assert!(wrong.is_empty(), "no such subcommands:\n{}", wrong.join("\n"));
}

#[test]
fn the_parts_of_this_test_see_what_they_should() {
    assert_eq!(targets("a [b](c.md#d), `[x](y)` and ![p](q.svg)"), ["c.md#d", "q.svg"]);
    assert_eq!(anchors("# A `b`, and C!\n```\n# no\n```\n## A b and c"), ["a-b-and-c", "a-b-and-c-1"]);
    let code =
        "sudo dcbridge run x; target/release/dcbridge check y; /run/dcbridge z; dcbridge 0.1 dcbridge --help";
    assert_eq!(subcommands(code).collect::<Vec<_>>(), ["run", "check"]);
}
