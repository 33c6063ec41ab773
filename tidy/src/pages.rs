//! What prose says about code: headings per edge, `Code:` and `Test:` lines, links and paths.
//!
//! A line that starts with `Code:` names places: a file and then a function in it, `` `wire/src/frame.rs`
//! `fn write` ``, as often as needed. A line that starts with `Test:` names tests, each in backticks, found
//! anywhere in the workspace.

/// Looks a function up in a file, by path from the root. `None` if there is no such file.
pub type HasFunction<'a> = &'a dyn Fn(&str, &str) -> Option<bool>;

/// The faults of every `Code:` and `Test:` line of a page; empty when all resolve.
#[must_use]
pub fn reference_faults(
    page: &str,
    function: HasFunction<'_>,
    is_test: &dyn Fn(&str) -> bool,
) -> Vec<String> {
    let mut faults = Vec::new();
    for (at, line) in page.lines().enumerate() {
        let mut fault = |text: String| faults.push(format!("line {}: {text}", at + 1));
        if let Some(rest) = line.strip_prefix("Code:") {
            let mut file = None;
            let mut resolved = 0;
            for span in spans(rest) {
                match (span.strip_prefix("fn "), file) {
                    (None, _) => file = Some(span),
                    (Some(name), None) => fault(format!("`fn {name}` stands before any file")),
                    (Some(name), Some(path)) => match function(path, name) {
                        Some(true) => resolved += 1,
                        Some(false) => fault(format!("{path} has no function `{name}`")),
                        None => fault(format!("there is no file {path}")),
                    },
                }
            }
            if resolved == 0 {
                fault("`Code:` names no function that exists".into());
            }
        } else if let Some(rest) = line.strip_prefix("Test:") {
            let names = spans(rest);
            if names.is_empty() {
                fault("`Test:` names no test".into());
            }
            for name in names.into_iter().filter(|name| !is_test(name)) {
                fault(format!("there is no test `{name}`"));
            }
        }
    }
    faults
}

/// The faults of the edge sections of a machine's page: `### T4 WinElection` for each of `edges`, in their
/// order and no others, each with prose, a `Code:` line and a `Test:` line.
#[must_use]
pub fn edge_faults(page: &str, edges: &[String]) -> Vec<String> {
    let mut faults = Vec::new();
    let sections: Vec<(&str, &str)> = page
        .split("\n### ")
        .skip(1)
        .map(|section| section.split_once('\n').unwrap_or((section, "")))
        .collect();
    let headings: Vec<&str> = sections.iter().map(|(heading, _)| *heading).collect();
    if headings != edges {
        faults.push(format!("headings {headings:?} are not the edges {edges:?}"));
    }
    for (heading, text) in sections {
        let text = text.split("\n## ").next().unwrap_or_default();
        for start in ["Code:", "Test:"] {
            if !text.lines().any(|line| line.starts_with(start)) {
                faults.push(format!("{heading} has no `{start}` line"));
            }
        }
        let prose = text.lines().filter(|line| !line.starts_with("Code:") && !line.starts_with("Test:"));
        if prose.map(str::len).sum::<usize>() < 80 {
            faults.push(format!("{heading} has no prose that says why it exists"));
        }
    }
    faults
}

/// The targets of Markdown links that stay in the repository: path and anchor, either of which may be empty.
#[must_use]
pub fn local_links(page: &str) -> Vec<(&str, &str)> {
    let prose = prose_lines(page);
    let targets = prose.flat_map(|line| line.split("](").skip(1).filter_map(|rest| rest.split(')').next()));
    targets
        .filter(|target| !target.contains("://"))
        .map(|to| to.split_once('#').unwrap_or((to, "")))
        .collect()
}

/// The anchors of a page's headings, as Markdown viewers make them.
#[must_use]
pub fn anchors(page: &str) -> Vec<String> {
    let headings = prose_lines(page).filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let text = line.trim_start_matches('#').trim().to_lowercase();
            let kept = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            kept.collect::<String>().replace(' ', "-")
        })
        .collect()
}

/// Backtick spans that look like a file of the repository: a path with a folder and a known ending.
#[must_use]
pub fn named_paths(page: &str) -> Vec<&str> {
    let all = prose_lines(page).flat_map(spans);
    all.filter(|span| {
        span.contains('/')
            && !span.contains(['*', ' ', '<', '…', 'N'])
            && [".rs", ".md", ".txt", ".toml", ".sh"].iter().any(|ending| span.ends_with(ending))
    })
    .collect()
}

/// The lines of a page that are not inside a fenced block.
fn prose_lines(page: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    page.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

/// What stands between backticks in a line.
fn spans(line: &str) -> Vec<&str> {
    line.split('`').skip(1).step_by(2).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(path: &str, name: &str) -> Option<bool> {
        (path == "a/b.rs").then_some(name == "go")
    }

    fn faults(page: &str) -> Vec<String> {
        reference_faults(page, &function, &|name| name == "claim")
    }

    #[test]
    fn references_that_resolve_are_no_faults() {
        assert_eq!(faults("x\nCode: `a/b.rs` `fn go`.\nTest: `claim`, `claim`"), [""; 0]);
    }

    #[test]
    fn references_that_do_not_resolve_are_named_with_their_line() {
        assert_eq!(
            faults("x\nCode: `a/b.rs` `fn went`, `a/c.rs` `fn go`"),
            [
                "line 2: a/b.rs has no function `went`",
                "line 2: there is no file a/c.rs",
                "line 2: `Code:` names no function that exists"
            ]
        );
        assert_eq!(faults("Code: `fn go`")[0], "line 1: `fn go` stands before any file");
        assert_eq!(faults("Test: `claims`"), ["line 1: there is no test `claims`"]);
        assert_eq!(faults("Test: soon"), ["line 1: `Test:` names no test"]);
    }

    #[test]
    fn edges_need_a_section_each_with_prose_code_and_test() {
        let edges = ["T1 Go".to_owned(), "T2 Stop".to_owned()];
        let prose = "why ".repeat(30);
        let whole = format!(
            "# M\n\n### T1 Go\n{prose}\nCode: x\nTest: y\n\n### T2 Stop\n{prose}\nCode: x\nTest: y\n"
        );
        assert_eq!(edge_faults(&whole, &edges), [""; 0]);
        assert_eq!(edge_faults(&whole.replace("T2 Stop", "T2 Halt"), &edges).len(), 1);
        assert_eq!(edge_faults(&whole, &edges[..1]).len(), 1, "a section for no edge");
        let bare = "\n### T1 Go\nCode: x\n\n## Later\nTest: y\n";
        assert_eq!(
            edge_faults(bare, &edges[..1]),
            ["T1 Go has no `Test:` line", "T1 Go has no prose that says why it exists"]
        );
    }

    #[test]
    fn links_anchors_and_paths_are_found_outside_of_fences() {
        let page = "# The Big `One`, 2\nsee [a](b.md#c) and [d](#the-big-one-2) [e](https://x.y)\n\
                    ```\n[no](no.md) # no\n```\n`a/b.rs` and `cargo test` and `src/*.rs`\n";
        assert_eq!(local_links(page), [("b.md", "c"), ("", "the-big-one-2")]);
        assert_eq!(anchors(page), ["the-big-one-2"]);
        assert_eq!(named_paths(page), ["a/b.rs"]);
    }
}
