//! What a source file declares, by name.

use std::collections::BTreeSet;

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Arm, Attribute, Expr, ImplItem, Item, Lit, Meta, Pat, TraitItem, Visibility};

use crate::workspace;

/// What a source file declares, with modules inside it included.
#[derive(Clone, Debug, Default)]
pub struct Symbols {
    /// Functions and methods, free or in an `impl` or `trait`, tests included.
    pub functions: BTreeSet<String>,
    /// Those that are tests and not ignored, also inside `proptest!`.
    pub tests: BTreeSet<String>,
    /// Enums declared by `numbered!`: name and width.
    pub numbered: Vec<(String, String)>,
    /// Types that implement `Machine`.
    pub machines: Vec<String>,
    /// Arms in their tables that would answer for a state or event nobody thought of: `_`, a name, a tuple with one of
    /// these in it.
    pub open_arms: Vec<String>,
    /// Constants outside of functions.
    pub constants: Vec<Constant>,
    /// Structs with named fields: name, documentation, and fields with their types as written.
    pub structs: Vec<Struct>,
}

/// A struct with named fields, or a newtype, whose one field is named `0`.
#[derive(Clone, Debug)]
pub struct Struct {
    /// Its name.
    pub name: String,
    /// Its documentation.
    pub doc: String,
    /// Its fields.
    pub fields: Vec<Field>,
}

/// A constant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Constant {
    /// Its name.
    pub name: String,
    /// Its documentation.
    pub doc: String,
    /// Whether it is `pub`.
    pub public: bool,
}

/// A field of a struct.
#[derive(Clone, Debug)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its type as written.
    pub written: syn::Type,
    /// Its documentation.
    pub doc: String,
}

/// The symbols of a source file, by its path from the root.
///
/// # Panics
/// If it is not Rust, naming the file.
#[must_use]
pub fn of_file(path: &str) -> Symbols {
    std::panic::catch_unwind(|| of(&workspace::read(path))).unwrap_or_else(|_| panic!("{path} is not Rust"))
}

/// The value of a constant as its source writes it, on one line.
///
/// # Panics
/// If the file has no such constant.
#[must_use]
pub fn as_written(path: &str, name: &str) -> String {
    let source = workspace::read(path);
    let line = source.lines().find(|line| line.contains(&format!("const {name}: ")));
    let line = line.unwrap_or_else(|| panic!("{path} has no constant {name}"));
    format!("`{}`", line.split(" = ").nth(1).unwrap_or_default().trim_end_matches(';'))
}

/// The symbols of a source text.
///
/// # Panics
/// If it is not Rust.
#[must_use]
pub fn of(source: &str) -> Symbols {
    let file = syn::parse_file(source).unwrap_or_else(|error| panic!("{error}: {source:.200}"));
    let mut found = Symbols::default();
    items(&file.items, &mut found);
    found
}

fn items(list: &[Item], found: &mut Symbols) {
    for item in list {
        match item {
            Item::Fn(function) => function_named(&function.sig.ident.to_string(), &function.attrs, found),
            Item::Impl(block) => {
                if let Some((path, _)) = &block.trait_
                    && path.segments.last().is_some_and(|last| last.ident == "Machine")
                    && let syn::Type::Path(owner) = &*block.self_ty
                {
                    found.machines.extend(owner.path.segments.last().map(|last| last.ident.to_string()));
                    OpenArms(&mut found.open_arms).visit_item_impl(block);
                }
                for item in &block.items {
                    if let ImplItem::Fn(method) = item {
                        function_named(&method.sig.ident.to_string(), &method.attrs, found);
                    }
                }
            }
            Item::Trait(block) => {
                for item in &block.items {
                    if let TraitItem::Fn(method) = item {
                        function_named(&method.sig.ident.to_string(), &method.attrs, found);
                    }
                }
            }
            Item::Mod(module) => {
                if let Some((_, list)) = &module.content {
                    items(list, found);
                }
            }
            Item::Const(constant) => {
                found.constants.push(Constant {
                    name: constant.ident.to_string(),
                    doc: doc(&constant.attrs),
                    public: matches!(constant.vis, Visibility::Public(_)),
                });
            }
            Item::Struct(item) => {
                let fields = item.fields.iter().enumerate().map(|(at, field)| {
                    let name = field.ident.as_ref().map_or(at.to_string(), ToString::to_string);
                    Field { name, written: field.ty.clone(), doc: doc(&field.attrs) }
                });
                found.structs.push(Struct {
                    name: item.ident.to_string(),
                    doc: doc(&item.attrs),
                    fields: fields.collect(),
                });
            }
            Item::Macro(call) => {
                let name = call.mac.path.segments.last().map(|last| last.ident.to_string());
                match name.as_deref() {
                    Some("numbered") => found.numbered.extend(enum_head(call.mac.tokens.clone())),
                    Some("macro_rules") => {}
                    Some(_) | None => functions_in(call.mac.tokens.clone(), found),
                }
            }
            _ => {}
        }
    }
}

/// Collects the arms of `match` expressions that name nothing.
struct OpenArms<'a>(&'a mut Vec<String>);

impl<'ast> Visit<'ast> for OpenArms<'_> {
    fn visit_arm(&mut self, arm: &'ast Arm) {
        if is_open(&arm.pat) {
            self.0.push(format!("{:?}", arm.pat));
        }
        visit::visit_arm(self, arm);
    }
}

fn is_open(pattern: &Pat) -> bool {
    match pattern {
        Pat::Wild(_) | Pat::Rest(_) => true,
        // A variant is always written with its enum here, so a lone word binds anything.
        Pat::Ident(name) => name.subpat.as_ref().is_none_or(|(_, inner)| is_open(inner)),
        Pat::Tuple(tuple) => tuple.elems.iter().any(is_open),
        Pat::Or(either) => either.cases.iter().any(is_open),
        Pat::Paren(inner) => is_open(&inner.pat),
        _ => false,
    }
}

fn function_named(name: &str, attributes: &[Attribute], found: &mut Symbols) {
    let has = |name: &str| attributes.iter().any(|attribute| attribute.path().is_ident(name));
    if has("test") && !has("ignore") {
        found.tests.insert(name.to_owned());
    }
    found.functions.insert(name.to_owned());
}

/// Documentation as written, with the leading space of each line removed.
#[must_use]
pub fn doc(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            Expr::Lit(literal) => match &literal.lit {
                Lit::Str(text) => {
                    Some(text.value().strip_prefix(' ').map_or(text.value(), ToOwned::to_owned))
                }
                _ => None,
            },
            _ => None,
        },
        _ => None,
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// `enum NAME: WIDTH` in the tokens of a `numbered!` call.
fn enum_head(tokens: TokenStream) -> Option<(String, String)> {
    let mut words = tokens.into_iter().filter_map(|token| match token {
        TokenTree::Ident(word) => Some(word.to_string()),
        TokenTree::Group(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => None,
    });
    words.find(|word| word == "enum")?;
    Some((words.next()?, words.next()?))
}

/// `fn NAME` in the tokens of any other macro call; a test if `#[test]` stands before it.
fn functions_in(tokens: TokenStream, found: &mut Symbols) {
    let (mut after_fn, mut test) = (false, false);
    for token in tokens {
        match token {
            TokenTree::Ident(word) if after_fn => {
                found.functions.insert(word.to_string());
                if test {
                    found.tests.insert(word.to_string());
                }
                (after_fn, test) = (false, false);
            }
            TokenTree::Ident(word) => after_fn = word == "fn",
            TokenTree::Group(group) if group.delimiter() == Delimiter::Bracket => {
                test |= group.stream().to_string() == "test";
            }
            TokenTree::Group(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_found_wherever_they_stand_and_only_tests_are_tests() {
        let found = of("
            fn free() { fn inner() {} }
            impl A { fn method(&self) {} }
            trait B { fn provided() {} }
            mod c { #[test] fn claim() {} #[test] #[ignore] fn asleep() {} }
            proptest! { #[test] fn property(x in 0..1) {} fn helper() {} }
        ");
        let all = ["asleep", "claim", "free", "helper", "method", "property", "provided"];
        assert_eq!(Vec::from_iter(found.functions), all);
        assert_eq!(Vec::from_iter(found.tests), ["claim", "property"]);
    }

    #[test]
    fn numbered_enums_and_machines_are_found_by_name() {
        let found = of("
            numbered! { #[derive(Hash)] /// Doc.
                pub enum Kind: u16, \"K\" { /// A.
                    A = 1, } }
            impl Machine for Door { }
            impl fmt::Display for Door { }
            macro_rules! numbered { () => { enum Not: u8 } }
        ");
        assert_eq!(found.numbered, [("Kind".to_owned(), "u16".to_owned())]);
        assert_eq!(found.machines, ["Door"]);
    }

    #[test]
    fn arms_that_answer_for_everything_are_found_in_tables_and_nowhere_else() {
        let table = |arms: &str| {
            of(&format!("impl Machine for M {{ fn next() {{ match x {{ {arms} }} }} }}")).open_arms
        };
        assert_eq!(table("(S::A, E::B) => 1, S::A | S::B => 2").len(), 0);
        for open in
            ["_ => 1", "(S::A, _) => 1", "other => 1", "(S::A, E::B) | (_, E::C) => 1", "(S::A, ..) => 1"]
        {
            assert_eq!(table(open).len(), 1, "{open}");
        }
        assert_eq!(of("impl Other for M { fn f() { match x { _ => 1 } } }").open_arms.len(), 0);
    }

    #[test]
    fn constants_and_structs_come_with_their_documentation() {
        let found = of("
            /// Because.
            /// And so.
            pub const LIMIT: u32 = 3;
            /// Sections: a, b.
            struct Meta { one: u8, two: Option<NodeId> }
            struct Id(u64);
        ");
        let doc = "Because.\nAnd so.".to_owned();
        assert_eq!(found.constants, [Constant { name: "LIMIT".into(), doc, public: true }]);
        let names: Vec<_> =
            found.structs.iter().map(|item| (item.name.as_str(), item.fields.len())).collect();
        assert_eq!(names, [("Meta", 2), ("Id", 1)]);
        assert_eq!(found.structs[0].doc, "Sections: a, b.");
        assert_eq!(found.structs[1].fields[0].name, "0");
    }
}
