use std::io::{self, Write};

use clap::ValueEnum;
use serde::Serialize;

/// How a list is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum OutputFormat {
    /// Aligned columns for people
    #[default]
    Table,
    /// One JSON document for programs
    Json,
}

/// Rows under headings.
#[derive(Debug)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(headings: &[&str]) -> Self {
        Self { rows: vec![headings.iter().map(|heading| (*heading).to_owned()).collect()] }
    }

    /// A table without headings: names and what belongs to them.
    pub(super) const fn plain() -> Self {
        Self { rows: Vec::new() }
    }

    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }

    /// Writes it: columns as wide as their widest cell, two spaces between, none at the end of a line.
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width_of = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width_of).collect();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(cell);
                let padding = (width + 2).saturating_sub(cell.chars().count());
                line.extend(std::iter::repeat_n(' ', padding));
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Writes one JSON document and a line end.
pub(super) fn write_json(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)
}

/// A list of numbers as people write it: `1,2,3`; `-` when empty.
pub(super) fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    if items.is_empty() { "-".to_owned() } else { items.join(",") }
}

/// A value, or `-` when there is none.
pub(super) fn or_dash<T: ToString>(item: Option<T>) -> String {
    item.map_or_else(|| "-".to_owned(), |item| item.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_end_where_they_end() {
        let mut table = Table::new(&["NAME", "PARTITIONS", "X"]);
        table.row(["orders".to_owned(), "12".to_owned(), String::new()]);
        table.row(["a-longer-name".to_owned(), "1".to_owned(), "y".to_owned()]);
        let mut out = Vec::new();
        table.write(&mut out).unwrap();
        let expected = "NAME           PARTITIONS  X\n\
                        orders         12\n\
                        a-longer-name  1           y\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn what_is_missing_is_a_dash() {
        assert_eq!(list([1, 2, 3]), "1,2,3");
        assert_eq!(list(Vec::<i32>::new()), "-");
        assert_eq!(or_dash(Some(5)), "5");
        assert_eq!(or_dash(None::<i32>), "-");
    }
}
