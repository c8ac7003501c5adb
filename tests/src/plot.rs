//! Line charts as SVG: a few series over labelled steps, an axis that begins at zero. Enough for pages of the
//! documentation, legible on light and dark ground.
//!
//! What must not enter: what is drawn.

use std::fmt::Write as _;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 360.0;
/// Left, right, top, bottom.
const MARGIN: (f64, f64, f64, f64) = (70.0, 20.0, 56.0, 52.0);
const COLOURS: [&str; 4] = ["#2f6fb3", "#c8651b", "#3a8a4d", "#8a5bb0"];
/// Lines across, beside that at zero.
const LINES: u32 = 5;

/// One line of a chart.
#[derive(Clone, Debug)]
pub struct Series {
    /// What it is.
    pub name: String,
    /// A value for each step.
    pub values: Vec<f64>,
}

/// A chart.
#[derive(Clone, Debug)]
pub struct Chart {
    /// What it shows.
    pub title: String,
    /// What the steps count.
    pub x: String,
    /// What the values are, with their unit.
    pub y: String,
    /// The steps.
    pub steps: Vec<String>,
    /// The lines.
    pub series: Vec<Series>,
}

/// A round number that is not below `value`: the end of an axis.
fn round_up(value: f64) -> f64 {
    let unit = 10f64.powf(value.max(1e-9).log10().floor());
    let steps = [1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0];
    steps.iter().map(|step| step * unit).find(|&end| end >= value * 0.999_999).unwrap_or(10.0 * unit)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn number(value: f64) -> String {
    if value.fract().abs() < 1e-9 { format!("{value:.0}") } else { format!("{value:.1}") }
}

impl Chart {
    fn x_at(&self, step: usize) -> f64 {
        let last = self.steps.len().saturating_sub(1).max(1);
        MARGIN.0 + 24.0 + (WIDTH - MARGIN.0 - MARGIN.1 - 48.0) * step as f64 / last as f64
    }

    /// The picture.
    pub fn svg(&self) -> String {
        let most = self.series.iter().flat_map(|s| &s.values).fold(0.0f64, |most, v| most.max(*v));
        let end = round_up(most);
        let bottom = HEIGHT - MARGIN.3;
        let y_at = |value: f64| bottom - (bottom - MARGIN.2) * value / end;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
             font-family=\"sans-serif\" font-size=\"13\" fill=\"#222\">\n<title>{title}</title>\n\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n\
             <text x=\"{}\" y=\"22\" font-size=\"15\" font-weight=\"bold\">{title}</text>\n",
            MARGIN.0,
            title = escape(&self.title)
        );
        for line in 0..=LINES {
            let value = end * f64::from(line) / f64::from(LINES);
            let y = y_at(value);
            let _ = writeln!(
                svg,
                "<line x1=\"{}\" y1=\"{y:.1}\" x2=\"{}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                MARGIN.0,
                WIDTH - MARGIN.1,
                MARGIN.0 - 8.0,
                y + 4.0,
                number(value)
            );
        }
        for (n, step) in self.steps.iter().enumerate() {
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                self.x_at(n),
                bottom + 20.0,
                escape(step)
            );
        }
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n\
             <text transform=\"translate(18 {}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            f64::midpoint(MARGIN.0, WIDTH - MARGIN.1),
            HEIGHT - 10.0,
            escape(&self.x),
            f64::midpoint(MARGIN.2, bottom),
            escape(&self.y)
        );
        for ((n, series), colour) in self.series.iter().enumerate().zip(COLOURS.iter().cycle()) {
            self.line(&mut svg, n, series, colour, y_at);
        }
        svg.push_str("</svg>\n");
        svg
    }

    fn line(&self, svg: &mut String, n: usize, series: &Series, colour: &str, y_at: impl Fn(f64) -> f64) {
        let points: Vec<(f64, f64)> =
            series.values.iter().enumerate().map(|(step, &value)| (self.x_at(step), y_at(value))).collect();
        let path = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect::<Vec<_>>().join(" ");
        let _ = writeln!(
            svg,
            "<polyline points=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"
        );
        for (x, y) in &points {
            let _ = writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"{colour}\"/>");
        }
        // The legend: names beside each other below the title.
        let x = MARGIN.0 + (WIDTH - MARGIN.0 - MARGIN.1) * n as f64 / self.series.len().max(1) as f64;
        let _ = writeln!(
            svg,
            "<rect x=\"{x:.1}\" y=\"33\" width=\"14\" height=\"4\" fill=\"{colour}\"/>\
             <text x=\"{:.1}\" y=\"40\">{}</text>",
            x + 20.0,
            escape(&series.name)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_ends_at_a_round_number_above_everything() {
        for (value, end) in [(0.7, 0.8), (1.0, 1.0), (87.0, 100.0), (101.0, 150.0), (243.0, 250.0)] {
            assert!((round_up(value) - end).abs() < 1e-9, "{value}: {}", round_up(value));
        }
    }

    #[test]
    fn a_chart_shows_every_value_and_name() {
        let chart = Chart {
            title: "a < b".to_owned(),
            x: "ports".to_owned(),
            y: "ns".to_owned(),
            steps: ["2", "4", "8"].map(str::to_owned).to_vec(),
            series: vec![
                Series { name: "one".to_owned(), values: vec![1.0, 2.0, 3.0] },
                Series { name: "two".to_owned(), values: vec![3.0, 2.0, 0.0] },
            ],
        };
        let svg = chart.svg();
        assert_eq!(svg.matches("<circle").count(), 6);
        for text in ["a &lt; b", ">ports<", ">ns<", ">one<", ">two<", ">8<", ">3<"] {
            assert!(svg.contains(text), "{text} is missing in {svg}");
        }
    }
}
