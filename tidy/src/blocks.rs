//! Generated blocks: the parts of a page that the code writes.
//!
//! ```text
//! <!-- generated: NAME -->
//! …
//! <!-- end generated -->
//! ```

use crate::workspace;

const END: &str = "<!-- end generated -->";

/// The page with the content of block `name` replaced.
///
/// # Errors
/// If the page has no such block, or more than one, or one that does not end.
pub fn replace(page: &str, name: &str, content: &str) -> Result<String, String> {
    let start = format!("<!-- generated: {name} -->\n");
    let Some((before, rest)) = page.split_once(&start) else {
        return Err(format!("no block `{name}`"));
    };
    let Some((old, after)) = rest.split_once(END) else {
        return Err(format!("block `{name}` does not end"));
    };
    if old.contains("<!-- generated: ") {
        return Err(format!("block `{name}` does not end before the next begins"));
    }
    if after.contains(&start) {
        return Err(format!("two blocks `{name}`"));
    }
    Ok(format!("{before}{start}{}\n{END}{after}", content.trim_end()))
}

/// The names of all blocks of a page, in order.
#[must_use]
pub fn names(page: &str) -> Vec<&str> {
    let lines = page.lines().filter_map(|line| line.strip_prefix("<!-- generated: "));
    lines.filter_map(|rest| rest.strip_suffix(" -->")).collect()
}

/// A page, by its path from the root, and what each of its blocks must say.
pub type Wanted = (String, Vec<(&'static str, String)>);

/// Compares every block of these pages with what the code says. Under `UPDATE_DOCS` stale pages are rewritten
/// first.
///
/// # Panics
/// If a block is missing, unknown or stale, naming the first line that differs in each page.
pub fn check(pages: &[Wanted]) {
    let update = std::env::var_os("UPDATE_DOCS").is_some();
    let mut faults = Vec::new();
    for (path, wanted) in pages {
        let page = workspace::read(path);
        match refresh(&page, wanted) {
            Err(fault) => faults.push(format!("{path}: {fault}")),
            Ok(fresh) if fresh == page => {}
            Ok(fresh) if update => {
                std::fs::write(workspace::root().join(path), fresh).expect("the page can be written");
                faults.push(format!("{path}: rewritten; read the difference, commit it, and run again"));
            }
            Ok(fresh) => faults.push(format!("{path}{}", difference(&page, &fresh))),
        }
    }
    let how = "UPDATE_DOCS=1 cargo test -p holdfast-tidy --no-fail-fast";
    assert!(faults.is_empty(), "\n{}\n(rewrite generated blocks with: {how})", faults.join("\n"));
}

/// The page with all its blocks replaced.
fn refresh(page: &str, wanted: &[(&'static str, String)]) -> Result<String, String> {
    if let Some(name) = names(page).into_iter().find(|name| wanted.iter().all(|(known, _)| known != name)) {
        return Err(format!("nothing generates block `{name}`"));
    }
    wanted.iter().try_fold(page.to_owned(), |page, (name, content)| replace(&page, name, content))
}

/// The first line that differs, as the page has it and as the code says it.
fn difference(page: &str, fresh: &str) -> String {
    let line = page.lines().zip(fresh.lines()).position(|(old, new)| old != new).unwrap_or(0);
    let nth = |text: &str| text.lines().nth(line).unwrap_or_default().to_owned();
    format!(":{}: stale\n  page {:?}\n  code {:?}", line + 1, nth(page), nth(fresh))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "a\n<!-- generated: x -->\nold\n<!-- end generated -->\nb\n<!-- generated: y -->\n<!-- end generated -->\n";

    #[test]
    fn a_block_is_replaced_and_the_rest_is_kept() {
        let fresh = replace(PAGE, "x", "new\n\n").unwrap();
        assert_eq!(fresh, PAGE.replace("old", "new"));
        assert_eq!(replace(&fresh, "x", "new").unwrap(), fresh, "once is enough");
        assert_eq!(names(PAGE), ["x", "y"]);
    }

    #[test]
    fn a_missing_unended_or_doubled_block_is_a_fault() {
        assert_eq!(replace(PAGE, "z", ""), Err("no block `z`".into()));
        assert_eq!(replace("<!-- generated: x -->\n", "x", ""), Err("block `x` does not end".into()));
        let twice = format!("{PAGE}{PAGE}");
        assert_eq!(replace(&twice, "x", ""), Err("two blocks `x`".into()));
        let unended = PAGE.replacen("<!-- end generated -->\n", "", 1);
        assert!(replace(&unended, "x", "").unwrap_err().contains("before the next begins"));
    }

    #[test]
    fn a_stale_line_is_shown_from_both_sides_and_an_unknown_block_is_a_fault() {
        let wanted = [("x", "new".to_owned()), ("y", String::new())];
        let fresh = refresh(PAGE, &wanted).unwrap();
        assert_eq!(difference(PAGE, &fresh), ":3: stale\n  page \"old\"\n  code \"new\"");
        assert_eq!(refresh(PAGE, &wanted[..1]), Err("nothing generates block `y`".into()));
    }
}
