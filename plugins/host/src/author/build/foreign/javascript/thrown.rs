//! What a plugin in JavaScript throws, told to its log: the interpreter itself ends with a trap that says nothing.
//!
//! Each function that a host calls is put into one that catches, tells and throws again. It is added behind the author's text, so that lines
//! have the numbers they had. Where a function may answer with an error, what is thrown is that answer, and only what is a mistake in the
//! program is told. Invariant: what the author wrote is compiled as it is.

/// The functions of an interface: name, how many arguments it takes, and whether it may answer with an error.
type Functions = &'static [(&'static str, usize, bool)];

/// What hosts call, by interface: as in `plugins/wit`, in camel case.
pub(super) const CALLED: [(&str, Functions); 7] = [
    ("control", &[("init", 1, true), ("clusters", 2, false), ("ladder", 2, false)]),
    ("routing", &[("decide", 1, false)]),
    ("rate", &[("select", 1, false)]),
    ("cache", &[("admit", 4, false), ("score", 3, false)]),
    (
        "filter",
        &[
            ("init", 1, true),
            ("onRequest", 0, false),
            ("onLookup", 0, false),
            ("onOrigin", 0, false),
            ("onResponse", 0, false),
            ("onBody", 2, false),
        ],
    ),
    ("service", &[("init", 1, true), ("serve", 0, true)]),
    ("datagrams", &[("init", 1, true), ("handle", 2, false)]),
];

/// Tells an error with the functions it came through, without those that are added here.
const TELL: &str = r#"
import { log as $littoralLog } from "littoral:plugin/env@0.1.0";
const $littoralTell = ($thrown, $mistakesOnly) => {
  const $mistakes = [TypeError, ReferenceError, RangeError, SyntaxError];
  if ($mistakesOnly && !$mistakes.some(($kind) => $thrown instanceof $kind)) return $thrown;
  const $stack = $thrown instanceof Error ? String($thrown.stack) : "";
  const $end = $stack.lastIndexOf("    at call (native)");
  $littoralLog("error", `${$thrown}\n${$end < 0 ? $stack : $stack.slice(0, $end)}`.trimEnd());
  return $thrown;
};
"#;

/// What is added to a text that has these objects, each by the interface it is exported as and its own name. What only looks like an
/// export, or has no name of its own, is left.
pub(super) fn behind(objects: &[(String, String)]) -> String {
    let functions_of = |interface: &str| CALLED.iter().find(|(name, _)| *name == interface).map(|(_, all)| *all);
    let own = objects.iter().filter(|(_, object)| !object.is_empty());
    let told = own.filter_map(|(interface, object)| Some((functions_of(interface)?, object)));
    let mut text = TELL.to_owned();
    for (functions, object) in told {
        text.extend(functions.iter().map(|(name, arguments, may_fail)| {
            let taken = (0..*arguments).map(|at| format!("$a{at}")).collect::<Vec<_>>().join(", ");
            let handed = if taken.is_empty() { "$of".to_owned() } else { format!("$of, {taken}") };
            format!(
                "{{ const $of = typeof {object} === \"undefined\" ? undefined : {object}, $f = $of?.{name}; if (typeof $f === \"function\") Reflect.set($of, \"{name}\", ({taken}) => {{ try {{ return $f.call({handed}); }} catch ($thrown) {{ throw $littoralTell($thrown, {may_fail}); }} }}); }}\n"
            )
        }));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_that_hosts_call_have_the_arguments_they_have_in_the_contract() {
        let contract = crate::contract::Contract::read().unwrap();
        for (interface, functions) in CALLED {
            let id = contract.resolve.packages[contract.package].interfaces[interface];
            let expected: Vec<_> = contract.resolve.interfaces[id].functions.values().collect();
            assert_eq!(expected.len(), functions.len(), "{interface}");
            for (function, (name, arguments, may_fail)) in expected.into_iter().zip(functions) {
                let plain = |text: &str| text.replace('-', "").to_lowercase();
                assert_eq!((plain(&function.name), function.params.len()), (plain(name), *arguments), "{interface}");
                let is_result = function.result.is_some_and(|of| match of {
                    wit_parser::Type::Id(id) => {
                        matches!(contract.resolve.types[id].kind, wit_parser::TypeDefKind::Result(_))
                    }
                    _ => false,
                });
                assert_eq!(is_result, *may_fail, "{interface}.{name}");
            }
        }
    }

    #[test]
    fn only_what_is_exported_is_put_into_others() {
        let text = behind(&[("datagrams".into(), "mine".into()), ("more".into(), "more".into())]);
        assert!(text.contains("? undefined : mine, $f = $of?.handle;") && text.contains("($a0, $a1) =>"), "{text}");
        assert!(text.contains("$f.call($of, $a0, $a1)") && !text.contains("more"), "{text}");
    }
}
