//! Takes fields out of sources, so that what they hide can be seen.
//!
//! A closed record with an unknown field is refused as a whole, and nothing in it is looked at. So the definition of the
//! unknown field is overwritten with spaces, which moves nothing else, and the document is evaluated again.

use std::collections::HashSet;
use std::ops::Range;

use nickel_lang_core::ast::record::FieldDef;
use nickel_lang_core::ast::{Ast, Node};
use nickel_lang_core::cache::CacheHub;
use nickel_lang_core::files::FileId;
use nickel_lang_core::position::RawSpan;
use nickel_lang_core::traverse::{TraverseAlloc as _, TraverseControl};

use super::loader::Loader;

/// The texts without the fields whose names stand at `names`. Names that no definition has are left alone: those that
/// are made by evaluation, say.
pub(super) fn without(hub: &CacheHub, names: &[RawSpan]) -> Vec<(FileId, String)> {
    let ids: HashSet<FileId> = names.iter().map(|span| span.src_id).collect();
    ids.into_iter()
        .filter_map(|id| {
            let source = hub.sources.files.source(id);
            let ranges = definitions(hub.asts.get(id)?, names);
            (!ranges.is_empty()).then(|| (id, ranges.into_iter().fold(source.to_owned(), blank)))
        })
        .collect()
}

/// Where the name of the field `name` stands, when the files that users wrote define one such field in all.
pub(super) fn only_definition(hub: &CacheHub, loader: &Loader, name: &str) -> Option<RawSpan> {
    let mut found = Vec::new();
    for id in loader.own_files(&hub.sources) {
        let Some(ast) = hub.asts.get(id) else { continue };
        ast.traverse_ref::<(), ()>(
            &mut |node: &Ast<'_>, (): &()| {
                if let Node::Record(record) = &node.node {
                    let names = record.field_defs.iter().filter_map(FieldDef::name_as_ident);
                    found.extend(names.filter(|ident| ident.label() == name).filter_map(|ident| ident.pos.into_opt()));
                }
                TraverseControl::Continue
            },
            &(),
        );
    }
    match found.as_slice() {
        [only] => Some(*only),
        _ => None,
    }
}

/// Where the definitions of the fields with these names stand.
fn definitions<'ast>(ast: &'ast Ast<'ast>, names: &[RawSpan]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let is_meant = |definition: &FieldDef<'_>| {
        let mut spans = definition.path.iter().filter_map(|part| part.pos().into_opt());
        spans.any(|span| names.contains(&span))
    };
    ast.traverse_ref::<(), ()>(
        &mut |node: &Ast<'ast>, (): &()| {
            if let Node::Record(record) = &node.node {
                let meant = record.field_defs.iter().filter(|definition| is_meant(definition));
                found.extend(meant.filter_map(|definition| Some(definition.pos.into_opt()?.to_range())));
            }
            TraverseControl::Continue
        },
        &(),
    );
    found
}

/// Spaces instead of `range` and of the comma after it. Line breaks stay.
fn blank(source: String, range: Range<usize>) -> String {
    let comma = source.get(range.end..).and_then(|rest| {
        let gap = rest.len() - rest.trim_start().len();
        rest.trim_start().starts_with(',').then_some(range.end + gap)
    });
    let is_in = |at: usize| range.contains(&at) || Some(at) == comma;
    let bytes = source.bytes().enumerate();
    let bytes = bytes.map(|(at, byte)| if is_in(at) && byte != b'\n' { b' ' } else { byte }).collect();
    // The range is one of whole characters.
    String::from_utf8(bytes).unwrap_or(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_leaves_nothing_but_its_lines() {
        let source = "{ a = \"ä\",\n b = [\n 1] , c = 2 }";
        for (cut, left) in [
            ("a = \"ä\"", "{          \n b = [\n 1] , c = 2 }"),
            ("b = [\n 1]", "{ a = \"ä\",\n      \n      c = 2 }"),
            ("c = 2", "{ a = \"ä\",\n b = [\n 1] ,       }"),
        ] {
            let start = source.find(cut).unwrap();
            let blanked = blank(source.to_owned(), start..start + cut.len());
            assert_eq!((blanked.as_str(), blanked.len()), (left, source.len()), "{cut}");
        }
    }
}
