//! Published points, from the tables in `experiments/data`.

/// A table: its columns' names, and its lines.
pub(super) struct Table {
    columns: Vec<String>,
    lines: Vec<Vec<String>>,
}

impl Table {
    /// Reads comma-separated values; lines that begin with `#` say where they come from. Fields of lines that are cut
    /// short are empty.
    pub(super) fn parse(text: &str) -> Self {
        let mut lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).map(fields);
        let columns = lines.next().unwrap_or_default();
        Self { columns, lines: lines.collect() }
    }

    /// The lines in which all these columns have these values.
    pub(super) fn with<'a>(&'a self, values: &'a [(&str, &str)]) -> impl Iterator<Item = Line<'a>> {
        let lines = self.lines.iter().map(|fields| Line { columns: &self.columns, fields });
        lines.filter(|line| values.iter().all(|(column, value)| line.text(column) == *value))
    }
}

/// One line of a table.
pub(super) struct Line<'a> {
    columns: &'a [String],
    fields: &'a [String],
}

impl Line<'_> {
    /// A column's text; nothing if there is no such column.
    pub(super) fn text(&self, column: &str) -> &str {
        let index = self.columns.iter().position(|name| name == column);
        index.and_then(|index| self.fields.get(index)).map_or("", String::as_str)
    }

    /// A column's number, if it is one.
    pub(super) fn number(&self, column: &str) -> Option<f64> {
        self.text(column).parse().ok()
    }
}

/// Fields between commas that are not between quotation marks.
fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut is_quoted) = (vec![String::new()], false);
    for letter in line.chars() {
        match letter {
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => fields.push(String::new()),
            _ => fields.last_mut().expect("begins with one").push(letter),
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_columns() {
        let table = Table::parse("# a source\nname,x\n\"a, b\",1.5\nc,2\nc\n");
        assert_eq!(table.with(&[("name", "a, b")]).filter_map(|line| line.number("x")).collect::<Vec<_>>(), [1.5]);
        assert_eq!(table.with(&[("name", "c")]).filter_map(|line| line.number("x")).collect::<Vec<_>>(), [2.0]);
        assert_eq!(table.with(&[]).count(), 3);
        assert_eq!(table.with(&[("none", "c")]).count(), 0);
    }
}
