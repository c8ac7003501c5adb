//! Tables for terminals: aligned columns, sparing colour, as wide as the terminal allows.
//!
//! A table that is too wide first loses its least important columns (those with a `rank`), then its flexible columns
//! are cut with `…`; numbers are never cut. Nothing here knows what the figures mean; how they read is `units`'
//! affair.

use anstyle::{AnsiColor, Style};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Space between columns.
const GAP: &str = "  ";
/// A flexible column is never cut below this.
const MIN_FLEXIBLE: usize = 8;

/// How the output is drawn: with or without colour, and how many columns there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Canvas {
    /// Whether escape sequences for colour are written.
    pub color: bool,
    /// Columns of the terminal; `None`: no limit (a pipe or a file).
    pub width: Option<usize>,
}

impl Canvas {
    /// Without colour and without limit, as for a pipe.
    pub const PLAIN: Canvas = Canvas { color: false, width: None };

    /// The text in a tone, where colour is on. Control characters are replaced, so that a name can't steer the
    /// terminal.
    pub fn paint(&self, text: &str, tone: Tone) -> String {
        let text = printable(text);
        match tone.style() {
            Some(style) if self.color => format!("{style}{text}{style:#}"),
            _ => text,
        }
    }
}

/// What colour says: little, and never alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// As it is.
    #[default]
    Plain,
    /// As it should be.
    Good,
    /// Worth a look.
    Warn,
    /// Broken or lost.
    Bad,
    /// Beside the point.
    Dim,
    /// Headings.
    Strong,
}

impl Tone {
    fn style(self) -> Option<Style> {
        match self {
            Tone::Plain => None,
            Tone::Good => Some(AnsiColor::Green.on_default()),
            Tone::Warn => Some(AnsiColor::Yellow.on_default()),
            Tone::Bad => Some(AnsiColor::Red.on_default().bold()),
            Tone::Dim => Some(Style::new().dimmed()),
            Tone::Strong => Some(Style::new().bold()),
        }
    }
}

/// Which side of its column a text keeps to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Names and sentences.
    Left,
    /// Numbers.
    Right,
}

/// One column.
#[derive(Clone, Debug)]
pub struct Column {
    title: String,
    align: Align,
    flexible: bool,
    rank: Option<u8>,
}

impl Column {
    /// A column of names.
    pub fn left(title: &str) -> Column {
        Column { title: title.to_owned(), align: Align::Left, flexible: false, rank: None }
    }

    /// A column of numbers.
    pub fn right(title: &str) -> Column {
        Column { align: Align::Right, ..Column::left(title) }
    }

    /// May be cut with `…` when the terminal is narrow.
    #[must_use]
    pub fn flexible(self) -> Column {
        Column { flexible: true, ..self }
    }

    /// May be left out when the terminal is narrow; the highest rank goes first.
    #[must_use]
    pub fn rank(self, rank: u8) -> Column {
        Column { rank: Some(rank), ..self }
    }
}

/// One cell.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A cell in a tone.
    pub fn new(text: impl Into<String>, tone: Tone) -> Cell {
        Cell { text: printable(&text.into()), tone }
    }

    /// A cell that fades when it is zero or empty, so that what happened stands out.
    pub fn quiet(text: impl Into<String>, nothing: bool) -> Cell {
        Cell::new(text, if nothing { Tone::Dim } else { Tone::Plain })
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Cell {
        Cell::new(text, Tone::Plain)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Cell {
        Cell::new(text, Tone::Plain)
    }
}

/// A table: columns, then rows of as many cells.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// An empty table.
    pub fn new(columns: impl IntoIterator<Item = Column>) -> Table {
        Table { columns: columns.into_iter().collect(), rows: Vec::new() }
    }

    /// Adds a row. Missing cells are empty, cells beyond the last column are not shown.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        let mut cells: Vec<Cell> = cells.into_iter().collect();
        cells.resize(self.columns.len(), Cell::default());
        self.rows.push(cells);
    }

    /// Whether no row was added.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as text: a line of titles, a line per row, each ended by a newline and without trailing spaces.
    pub fn render(&self, canvas: Canvas) -> String {
        let widths = self.fit(canvas.width);
        let mut out = String::new();
        let titles =
            self.columns.iter().map(|c| Cell::new(c.title.as_str(), Tone::Strong)).collect::<Vec<_>>();
        for row in std::iter::once(&titles).chain(&self.rows) {
            self.render_row(row, &widths, canvas, &mut out);
        }
        out
    }

    fn render_row(&self, row: &[Cell], widths: &[Option<usize>], canvas: Canvas, out: &mut String) {
        let mut line = String::new();
        // Padding is held back until something follows it: no line ends in spaces.
        let mut pending = 0;
        let shown =
            self.columns.iter().zip(row).zip(widths).filter_map(|((c, cell), w)| Some((c, cell, (*w)?)));
        for (column, cell, width) in shown {
            if !line.is_empty() || pending > 0 {
                pending += GAP.len();
            }
            let text = cut(&cell.text, width);
            let padding = width - text.width();
            if column.align == Align::Right {
                pending += padding;
            }
            if !text.is_empty() {
                line.extend(std::iter::repeat_n(' ', pending));
                pending = 0;
                line.push_str(&canvas.paint(&text, cell.tone));
            }
            if column.align == Align::Left {
                pending += padding;
            }
        }
        out.push_str(&line);
        out.push('\n');
    }

    /// Width of every column; `None`: left out.
    fn fit(&self, limit: Option<usize>) -> Vec<Option<usize>> {
        let mut widths: Vec<Option<usize>> =
            self.columns.iter().enumerate().map(|(i, _)| Some(self.natural(i))).collect();
        let Some(limit) = limit else { return widths };
        while total(&widths) > limit {
            let ranked = self.columns.iter().enumerate().filter(|(i, _)| widths[*i].is_some());
            // Of equal ranks the one further right goes first.
            match ranked.filter_map(|(i, c)| Some((c.rank?, i))).max() {
                Some((_, i)) => widths[i] = None,
                None => break,
            }
        }
        while total(&widths) > limit {
            let flexible = (0..widths.len()).filter(|i| self.columns[*i].flexible);
            let widest =
                flexible.filter_map(|i| Some((widths[i]?, i))).filter(|(w, _)| *w > MIN_FLEXIBLE).max();
            let Some((width, i)) = widest else { break };
            widths[i] = Some(width - 1);
        }
        widths
    }

    fn natural(&self, column: usize) -> usize {
        let cells = self.rows.iter().map(|row| row[column].text.width());
        cells.max().unwrap_or(0).max(self.columns[column].title.width())
    }
}

fn total(widths: &[Option<usize>]) -> usize {
    let shown: Vec<usize> = widths.iter().flatten().copied().collect();
    shown.iter().sum::<usize>() + GAP.len() * shown.len().saturating_sub(1)
}

fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used + 1 > width {
            break;
        }
        out.push(c);
    }
    out.push('…');
    out
}

fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Table {
        let mut table = Table::new([
            Column::left("class").flexible(),
            Column::right("rate"),
            Column::right("peak").rank(1),
            Column::left("note").rank(2),
        ]);
        table.row(["smb-direct-of-the-cluster".into(), "600 Mbit/s".into(), "1.20 MB".into(), "".into()]);
        table.row(["größe".into(), Cell::new("3 bit/s", Tone::Bad), "0 B".into(), "held".into()]);
        table
    }

    #[test]
    fn columns_are_aligned_by_what_is_seen() {
        let expected = "\
class                            rate     peak  note
smb-direct-of-the-cluster  600 Mbit/s  1.20 MB
größe                         3 bit/s      0 B  held
";
        assert_eq!(sample().render(Canvas::PLAIN), expected);
    }

    #[test]
    fn a_narrow_terminal_loses_ranked_columns_then_cuts_names_and_never_numbers() {
        let at = |width| sample().render(Canvas { color: false, width: Some(width) });
        assert_eq!(at(48).lines().next().unwrap(), "class                            rate     peak");
        let expected = "\
class               rate
smb-direct-…  600 Mbit/s
größe            3 bit/s
";
        assert_eq!(at(24), expected);
        assert!(at(24).lines().all(|line| line.width() <= 24), "{}", at(24));
        assert!(at(1).contains("600 Mbit/s"), "numbers stay whole in any width");
    }

    #[test]
    fn colour_changes_no_column() {
        let colored = sample().render(Canvas { color: true, width: None });
        assert!(colored.contains("\u{1b}["), "{colored:?}");
        let mut stripped = String::new();
        let mut rest = colored.as_str();
        while let Some((before, after)) = rest.split_once('\u{1b}') {
            stripped.push_str(before);
            rest = after.split_once('m').unwrap().1;
        }
        stripped.push_str(rest);
        assert_eq!(stripped, sample().render(Canvas::PLAIN));
    }

    #[test]
    fn a_name_can_not_steer_the_terminal() {
        let mut table = Table::new([Column::left("name")]);
        table.row([Cell::from("evil\u{1b}[2J")]);
        assert!(!table.render(Canvas::PLAIN).contains('\u{1b}'));
        assert!(!Canvas::PLAIN.paint("\u{1b}]0;x\u{7}", Tone::Good).contains('\u{1b}'));
    }
}
