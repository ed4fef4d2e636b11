//! The operator's `config` table, which reaches a plugin as JSON.

use serde::de::DeserializeOwned;

/// Reads the config into a type of the plugin's own. With `#[serde(deny_unknown_fields)]` a key misspelt is refused by its name.
///
/// # Errors
/// For the operator: which key, what is wrong.
pub fn config<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| {
        let told = error.to_string();
        // The operator wrote TOML: a place in the JSON would lead nowhere.
        told.rsplit_once(" at line ").map_or_else(|| told.clone(), |(what, _)| what.to_owned())
    })
}

/// For a plugin that takes no config.
///
/// # Errors
/// When there is one.
pub fn no_config(text: &str) -> Result<(), String> {
    // Without a parser, which would be most of the code of such a plugin.
    match text.trim() {
        "" | "{}" => Ok(()),
        _ => Err("it takes no config: remove the table".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, serde::Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Wanted {
        safety: f32,
    }

    impl Default for Wanted {
        fn default() -> Self {
            Self { safety: 0.9 }
        }
    }

    #[test]
    fn a_config_becomes_a_type_of_the_plugins_own_and_a_wrong_key_is_named() {
        assert_eq!(config("{}"), Ok(Wanted { safety: 0.9 }));
        assert_eq!(config(r#"{"safety": 0.5}"#), Ok(Wanted { safety: 0.5 }));
        assert_eq!(config::<Wanted>(r#"{"saftey": 1}"#).unwrap_err(), "unknown field `saftey`, expected `safety`");
        assert!(config::<Wanted>(r#"{"safety": "fast"}"#).unwrap_err().starts_with("invalid type: string"));
    }

    #[test]
    fn who_takes_no_config_says_so() {
        assert_eq!([no_config("{}"), no_config(" {} ")], [Ok(()), Ok(())]);
        assert!(no_config(r#"{"a": 1}"#).unwrap_err().contains("takes no config"));
    }
}
