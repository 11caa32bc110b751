//! [`Table`]: columns for people. The last column is as wide as it likes.

use crate::sanitise;

/// The most characters of one cell that is not in the last column.
const WIDEST: usize = 40;

/// Rows of cells, each column as wide as its widest cell.
pub(super) struct Table<const N: usize> {
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    pub(super) fn new(head: &[&str; N]) -> Self {
        Self { rows: vec![head.map(str::to_owned)] }
    }

    /// Adds a row; what is foreign in it is made safe for a terminal.
    pub(super) fn row(&mut self, cells: [String; N]) {
        let mut at = 0;
        self.rows.push(cells.map(|cell| {
            at += 1;
            if at == N { sanitise::line(&cell) } else { sanitise::short(&cell, WIDEST) }
        }));
    }

    pub(super) fn text(&self) -> String {
        let mut widths = [0; N];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut text = String::new();
        for row in &self.rows {
            let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            text.push_str(cells.join("  ").trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_nothing_foreign_drives_the_terminal() {
        let mut table = Table::new(&["A", "B"]);
        table.row(["long cell".to_owned(), "\u{1b}[2Jx\ny".to_owned()]);
        assert_eq!(table.text(), "A          B\nlong cell  x\\ny\n");
        table.row(["y".repeat(60), String::new()]);
        assert!(table.text().lines().all(|line| line.chars().count() < 60), "{}", table.text());
    }
}
