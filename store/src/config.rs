//! Settings of a node: TOML in which every key is known, or refused with its line.

use std::path::{Path, PathBuf};

use serde::{Deserializer, Serialize, de::DeserializeOwned, de::Visitor};

use crate::file::{ReadError, Source};

/// Longest file of settings.
const MAX_LEN: u64 = 1 << 20;

/// Why settings are refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Something in it is not understood.
    #[error(transparent)]
    Text(#[from] TextError),
}

/// What is wrong in a TOML text, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}, line {line}{}: {message}", path.display(), in_key(key))]
pub struct TextError {
    /// The file.
    pub path: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The key on that line, if there is one.
    pub key: Option<String>,
    /// What is wrong, and what was expected.
    pub message: String,
}

fn in_key(key: &Option<String>) -> String {
    key.as_ref().map(|key| format!(", `{key}`")).unwrap_or_default()
}

/// Reads settings from a TOML file.
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    let text = Source::open(path, "a TOML file of settings")?.read(MAX_LEN)?;
    Ok(parse(path, &text)?)
}

/// Reads settings from TOML text; `path` is for error messages.
pub fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, TextError> {
    toml::from_str(text).map_err(|error| {
        let (line, key) = locate(text, error.span().map_or(0, |span| span.start));
        TextError { path: path.to_owned(), line, key, message: error.message().trim().replace('\n', ", ") }
    })
}

/// Number of the line at a byte, and the key on it.
fn locate(text: &str, offset: usize) -> (usize, Option<String>) {
    let before = text.get(..offset).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = text.get(start..).and_then(|rest| rest.lines().next()).unwrap_or_default();
    let key = line.split_once('=').map(|(key, _)| key.trim().to_owned());
    (before.matches('\n').count() + 1, key)
}

/// The settings as they are in force, as TOML text.
///
/// # Panics
/// If the type is not one that TOML can express: a table with text keys.
pub fn print<T: Serialize>(settings: &T) -> String {
    toml::to_string(settings).expect("settings are tables of plain values")
}

/// Names of all the settings of a type that derives `Deserialize`.
pub fn fields_of<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut fields: &'static [&'static str] = &[];
    // The type tells the deserializer which fields it has, and gets an error for an answer.
    let _ = T::deserialize(FieldNames(&mut fields));
    fields
}

struct FieldNames<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for FieldNames<'_> {
    type Error = serde::de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(serde::de::Error::custom("only the names of fields were wanted"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = fields;
        self.deserialize_any(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// What is wrong with an example file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExampleError {
    /// It is not read, with or without the settings that stand in comments.
    #[error(transparent)]
    Text(#[from] TextError),
    /// It says something else than the defaults.
    #[error("the example differs from the defaults: it means\n{example}\nand the defaults are\n{defaults}")]
    Differs {
        /// What the example means.
        example: String,
        /// The defaults.
        defaults: String,
    },
    /// A setting is missing.
    #[error("the example does not show `{0}`")]
    Missing(&'static str),
}

/// Checks that an example file shows every setting, and changes none from its default. A setting without a default
/// value stands in a comment: `#key = value`, without a space.
pub fn check_example<T>(path: &Path, text: &str) -> Result<(), ExampleError>
where
    T: DeserializeOwned + Serialize + Default + PartialEq,
{
    let (example, defaults) = (parse::<T>(path, text)?, T::default());
    if example != defaults {
        return Err(ExampleError::Differs { example: print(&example), defaults: print(&defaults) });
    }
    let shown: String = text.lines().flat_map(|line| [commented_setting(line).unwrap_or(line), "\n"]).collect();
    parse::<T>(path, &shown)?;
    let shows = |field: &str| shown.lines().filter_map(shown_key).any(|key| key == field);
    match fields_of::<T>().iter().find(|field| !shows(field)) {
        Some(missing) => Err(ExampleError::Missing(missing)),
        None => Ok(()),
    }
}

/// The key of a line, or the name of the table that begins there.
fn shown_key(line: &str) -> Option<&str> {
    let table = || line.trim().strip_prefix('[')?.strip_suffix(']');
    line.split_once('=').map(|(key, _)| key.trim()).or_else(table)
}

fn commented_setting(line: &str) -> Option<&str> {
    line.strip_prefix('#').filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()) && rest.contains('='))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Settings {
        listen: String,
        threads: usize,
        advertise: Option<String>,
        inner: Inner,
    }

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Inner {
        depth: u8,
    }

    impl Default for Settings {
        fn default() -> Self {
            Self { listen: "127.0.0.1:0".to_owned(), threads: 2, advertise: None, inner: Inner::default() }
        }
    }

    const EXAMPLE: &str = "# Where to listen, and so on.\nlisten = \"127.0.0.1:0\"\nthreads = 2\n\
                           #advertise = \"a.example:1\"\n[inner]\ndepth = 0\n";

    fn check(example: &str) -> Result<(), ExampleError> {
        check_example::<Settings>(Path::new("example.toml"), example)
    }

    fn refused(text: &str) -> String {
        parse::<Settings>(Path::new("a.toml"), text).expect_err("malformed").to_string()
    }

    #[test]
    fn names_file_line_and_key_of_what_is_wrong() {
        let said = refused("threads = 1\n\ncolour = 3\n");
        assert!(said.starts_with("a.toml, line 3, `colour`: unknown field `colour`, expected one of"), "{said}");
        let said = refused("threads = 1\n[inner]\ndepth = 300\n");
        assert!(said.starts_with("a.toml, line 3, `depth`: invalid value: integer `300`, expected u8"), "{said}");
        let said = refused("threads = 1\nthreads = 2\n");
        assert!(said.starts_with("a.toml, line 2, `threads`: duplicate key"), "{said}");
        let said = refused("# a comment\nthreads\n");
        assert!(said.starts_with("a.toml, line 2"), "{said}");
    }

    #[test]
    fn refuses_a_missing_file() {
        let missing = Path::new("/nonexistent/settings.toml");
        assert!(matches!(load::<Settings>(missing), Err(ConfigError::Read(ReadError::Missing { .. }))));
    }

    #[test]
    fn what_is_printed_is_read_back() {
        let settings = Settings { threads: 5, advertise: Some("b.example:2".to_owned()), ..Settings::default() };
        assert_eq!(parse(Path::new("printed"), &print(&settings)), Ok(settings));
    }

    #[test]
    fn knows_the_settings_of_a_type() {
        assert_eq!(fields_of::<Settings>(), ["listen", "threads", "advertise", "inner"]);
    }

    #[test]
    fn an_example_is_complete_and_changes_nothing() {
        assert_eq!(check(EXAMPLE), Ok(()));
        let changed = |old, new| check(&EXAMPLE.replace(old, new));
        assert_eq!(changed("#advertise", "# advertise"), Err(ExampleError::Missing("advertise")));
        assert_eq!(changed("threads = 2\n", ""), Err(ExampleError::Missing("threads")));
        assert_eq!(changed("[inner]\ndepth = 0\n", ""), Err(ExampleError::Missing("inner")));
        assert!(matches!(changed("= 2", "= 3"), Err(ExampleError::Differs { .. })));
        assert!(matches!(changed("#advertise", "#advertize"), Err(ExampleError::Text(_))));
        assert!(matches!(changed("threads", "thread"), Err(ExampleError::Text(_))));
    }
}
