//! The table of requirements stays true: every place that it names exists, every test that it names is a test, and no
//! link between pages of the documentation leads nowhere.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

/// Rows that the table has at least: one that is not read at all must not pass.
const FEWEST_ROWS: usize = 60;

/// A requirement: what is asked for, where it is checked, which tests fire.
struct Row {
    requirement: String,
    places: Vec<String>,
    tests: Vec<String>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace is above its crates").to_owned()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All files below `directory` with an extension, without what was built.
fn files(directory: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory of the workspace") {
        let path = entry.expect("an entry of the directory").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            files(&path, extension, found);
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
}

fn files_of(extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    files(&root(), extension, &mut found);
    found
}

/// The rows of every table whose columns are requirement, place and test.
fn rows(page: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut in_table = false;
    for line in page.lines() {
        let cells: Vec<&str> = line.trim().trim_matches('|').split('|').map(str::trim).collect();
        match cells[..] {
            ["requirement", "checked in", "test"] => in_table = true,
            [requirement, places, tests] if in_table && !requirement.starts_with("---") => {
                rows.push(Row { requirement: requirement.to_owned(), places: quoted(places), tests: quoted(tests) })
            }
            [_, _, _] => {}
            _ if in_table && line.starts_with('|') => panic!("a row of the table has not three cells: {line}"),
            _ => in_table = false,
        }
    }
    rows
}

/// What stands between backticks.
fn quoted(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Names of the functions in a source file that a test runner runs: behind an attribute whose last word is `test`.
fn tests_in(source: &str) -> HashSet<String> {
    let mut names = HashSet::new();
    let mut is_test = false;
    for line in source.lines().map(str::trim) {
        if line.starts_with("#[") {
            is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        } else if let Some(name) = function_name(line) {
            if is_test {
                names.insert(name.to_owned());
            }
            is_test = false;
        } else if !line.starts_with("//") {
            is_test = false;
        }
    }
    names
}

fn function_name(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("async fn ").or_else(|| line.strip_prefix("fn "))?;
    rest.split(|letter: char| !letter.is_alphanumeric() && letter != '_').next()
}

/// Whether the last part of a path like `Linked::new` is a word of the source.
fn holds_word(source: &str, item: &str) -> bool {
    let word = item.rsplit("::").next().unwrap_or(item).trim_end_matches("()");
    source.split(|letter: char| !letter.is_alphanumeric() && letter != '_').any(|found| found == word)
}

/// What is wrong with a row.
fn faults(row: &Row, tests: &HashSet<String>) -> Vec<String> {
    let mut faults = Vec::new();
    let mut fault = |what: String| faults.push(format!("`{}`: {what}", row.requirement));
    let mut source = None;
    for place in &row.places {
        if place.contains('/') {
            source = fs::read_to_string(root().join(place)).ok();
            if source.is_none() {
                fault(format!("there is no file {place}"));
            }
        } else if !source.as_ref().is_some_and(|source| holds_word(source, place)) {
            fault(format!("{place} is not in the file named before it"));
        }
    }
    if row.places.is_empty() || row.tests.is_empty() {
        fault("it needs a place where it is checked and a test that fires".to_owned());
    }
    for test in &row.tests {
        let is_there = match test.contains('/') {
            true => fs::read_to_string(root().join(test)).is_ok_and(|source| source.contains("```compile_fail")),
            false => tests.contains(test),
        };
        if !is_there {
            fault(format!("there is no test {test}"));
        }
    }
    faults
}

fn all_tests() -> HashSet<String> {
    files_of("rs").iter().flat_map(|path| tests_in(&read(path))).collect()
}

#[test]
fn every_requirement_names_code_and_tests_that_exist() {
    let rows = rows(&read(&root().join("paper-notes/src/requirements.md")));
    assert!(rows.len() >= FEWEST_ROWS, "only {} rows were read", rows.len());
    let tests = all_tests();
    let faults: Vec<String> = rows.iter().flat_map(|row| faults(row, &tests)).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_row_that_names_nothing_real_is_found() {
    let page = "| requirement | checked in | test |\n|---|---|---|\n\
                | real | `hippodrome/tests/requirements.rs` `faults` | `a_row_that_names_nothing_real_is_found` |\n\
                | no file | `core/src/nowhere.rs` | `a_row_that_names_nothing_real_is_found` |\n\
                | no item | `core/src/ids.rs` `no_such_item` | `a_row_that_names_nothing_real_is_found` |\n\
                | no test | `core/src/ids.rs` | `no_such_test` |\n\
                | not a test | `core/src/ids.rs` | `function_name` |\n\
                | nothing | | |\n";
    let tests = all_tests();
    let bad: Vec<bool> = rows(page).iter().map(|row| !faults(row, &tests).is_empty()).collect();
    assert_eq!(bad, [false, true, true, true, true, true]);
}

/// Targets of the links of a page that lead to files.
fn links(page: &str) -> impl Iterator<Item = &str> {
    let targets = page.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.filter(|target| !target.contains("://") && !target.starts_with('#'))
}

#[test]
fn no_link_between_pages_leads_nowhere() {
    let pages = files_of("md");
    let mut followed = 0;
    for page in pages {
        let folder = page.parent().expect("a page is in a folder").to_owned();
        for target in links(&read(&page)) {
            let file = target.split('#').next().unwrap_or(target);
            assert!(folder.join(file).exists(), "{} links to {target}", page.display());
            followed += 1;
        }
    }
    assert!(followed > 20, "only {followed} links were read");
}

#[test]
fn every_page_of_the_notes_is_in_the_summary() {
    let notes = root().join("paper-notes/src");
    let summary = read(&notes.join("SUMMARY.md"));
    let listed: HashSet<&str> = links(&summary).collect();
    for entry in fs::read_dir(&notes).expect("the notes") {
        let name = entry.expect("a page").file_name().into_string().expect("page names are plain");
        assert!(name == "SUMMARY.md" || !name.ends_with(".md") || listed.contains(name.as_str()), "{name}");
    }
}
