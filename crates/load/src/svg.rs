//! Line plots as SVG, on linear and logarithmic axes.

use std::fmt::Write as _;

const WIDTH: f64 = 820.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 60.0;
const BOTTOM: f64 = 40.0;
/// Told apart also by those who see few colours (Paul Tol's bright scheme).
const COLOURS: [&str; 7] = [
    "#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#777777",
];
/// Steps on a linear axis, about.
const STEPS: f64 = 5.0;
/// More points than this cannot be told apart.
const SEEN: usize = 1500;

/// How values become places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scale {
    /// From 0 on.
    Linear,
    /// Powers of ten; what is not above zero is left out.
    Log,
    /// Fractions by their distance to 1: 0, 0.9, 0.99 and so on are as far from each other.
    Nines,
}

#[derive(Debug)]
pub(crate) struct Series {
    name: String,
    points: Vec<(f64, f64)>,
    /// Each value holds until the next.
    steps: bool,
}

impl Series {
    pub(crate) fn line(name: impl Into<String>, points: Vec<(f64, f64)>) -> Self {
        Self {
            name: name.into(),
            points,
            steps: false,
        }
    }

    pub(crate) fn steps(name: impl Into<String>, points: Vec<(f64, f64)>) -> Self {
        Self {
            steps: true,
            ..Self::line(name, points)
        }
    }
}

/// A panel.
#[derive(Debug)]
pub(crate) struct Chart {
    pub(crate) title: String,
    pub(crate) x: (&'static str, Scale),
    pub(crate) y: (&'static str, Scale),
    pub(crate) series: Vec<Series>,
}

/// An axis from its lowest to its highest value.
struct Axis {
    scale: Scale,
    from: f64,
    to: f64,
    ticks: Vec<(f64, String)>,
}

impl Axis {
    fn new(scale: Scale, values: impl Iterator<Item = f64> + Clone) -> Self {
        let highest = values.clone().fold(0.0, f64::max);
        match scale {
            Scale::Linear => {
                let step = step(highest);
                let count = (highest / step).ceil().max(1.0);
                let ticks = (0..=count as u32).map(|nth| f64::from(nth) * step);
                Self {
                    scale,
                    from: 0.0,
                    to: count * step,
                    ticks: ticks.map(|value| (value, number(value))).collect(),
                }
            }
            Scale::Log => {
                let lowest = values.filter(|value| *value > 0.0).fold(f64::MAX, f64::min);
                let lowest = if lowest < f64::MAX { lowest } else { 1.0 };
                let from = lowest.log10().floor() as i32;
                let to = (highest.max(lowest).log10().ceil() as i32).max(from + 1);
                let ticks = (from..=to).map(|power| 10f64.powi(power));
                Self {
                    scale,
                    from: from.into(),
                    to: to.into(),
                    ticks: ticks.map(|value| (value, number(value))).collect(),
                }
            }
            Scale::Nines => {
                // The last before the whole.
                let last = values.filter(|value| *value < 1.0).fold(0.0, f64::max);
                let nines = place(scale, last).ceil().max(1.0);
                let ticks = (0..=nines as i32).map(|nth| 1.0 - 10f64.powi(-nth));
                Self {
                    scale,
                    from: 0.0,
                    to: nines,
                    ticks: ticks
                        .map(|value| (value, format!("{} %", number(value * 100.0))))
                        .collect(),
                }
            }
        }
    }

    /// From 0 to 1.
    fn at(&self, value: f64) -> f64 {
        let place = (place(self.scale, value) - self.from) / (self.to - self.from);
        place.clamp(0.0, 1.0)
    }
}

fn place(scale: Scale, value: f64) -> f64 {
    match scale {
        Scale::Linear => value,
        Scale::Log => value.log10(),
        Scale::Nines => -(1.0 - value).max(1e-12).log10(),
    }
}

/// A round step: 1, 2 or 5 times a power of ten.
fn step(highest: f64) -> f64 {
    let rough = (highest / STEPS).max(1e-9);
    let power = 10f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 5.0]
        .into_iter()
        .find(|factor| factor * power >= rough);
    factor.unwrap_or(10.0) * power
}

/// Without what the arithmetic has added behind the point.
fn number(value: f64) -> String {
    let text = format!("{value:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Panels below each other.
pub(crate) fn document(title: &str, charts: &[Chart]) -> String {
    let height = TOP + charts.len() as f64 * (HEIGHT + TOP);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    text(&mut out, WIDTH / 2.0, 24.0, "middle", title);
    for (nth, chart) in charts.iter().enumerate() {
        draw(&mut out, chart, TOP + nth as f64 * (HEIGHT + TOP));
    }
    out.push_str("</svg>\n");
    out
}

fn draw(out: &mut String, chart: &Chart, top: f64) {
    let points = || chart.series.iter().flat_map(|series| &series.points);
    let x_axis = Axis::new(chart.x.1, points().map(|point| point.0));
    let y_axis = Axis::new(chart.y.1, points().map(|point| point.1));
    let bottom = top + HEIGHT - BOTTOM;
    let x = |value: f64| LEFT + x_axis.at(value) * (WIDTH - LEFT - RIGHT);
    let y = |value: f64| bottom - y_axis.at(value) * (HEIGHT - BOTTOM);

    text(out, LEFT, top - 24.0, "start", &chart.title);
    for (nth, series) in chart.series.iter().enumerate() {
        let left = LEFT + nth as f64 * 150.0;
        let _ = writeln!(
            out,
            "<rect x=\"{left:.1}\" y=\"{:.1}\" width=\"10\" height=\"10\" fill=\"{}\"/>",
            top - 16.0,
            colour(nth)
        );
        text(out, left + 14.0, top - 7.0, "start", &series.name);
    }
    for (value, label) in &y_axis.ticks {
        let y = y(*value);
        let _ = writeln!(
            out,
            "<line x1=\"{LEFT:.1}\" y1=\"{y:.1}\" x2=\"{:.1}\" y2=\"{y:.1}\" stroke=\"#dddddd\"/>",
            WIDTH - RIGHT
        );
        let label = format!("{label} {}", chart.y.0);
        text(out, LEFT - 6.0, y + 4.0, "end", short(&label));
    }
    for (value, label) in &x_axis.ticks {
        text(out, x(*value), bottom + 16.0, "middle", label);
    }
    text(out, WIDTH - RIGHT, bottom + 32.0, "end", chart.x.0);
    for (nth, series) in chart.series.iter().enumerate() {
        let corners = corners(series, chart.x.1, chart.y.1);
        let corners = corners.iter();
        let corners: Vec<_> = corners
            .map(|(at, value)| format!("{:.1},{:.1}", x(*at), y(*value)))
            .collect();
        if !corners.is_empty() {
            let _ = writeln!(
                out,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"1.5\"/>",
                corners.join(" "),
                colour(nth)
            );
        }
    }
    let _ = writeln!(
        out,
        "<line x1=\"{LEFT:.1}\" y1=\"{bottom:.1}\" x2=\"{:.1}\" y2=\"{bottom:.1}\" stroke=\"#000000\"/>",
        WIDTH - RIGHT
    );
}

/// A unit that has no room is left to the title.
fn short(label: &str) -> &str {
    const ROOM: usize = 12;
    if label.chars().count() <= ROOM {
        return label.trim_end();
    }
    label.split(' ').next().unwrap_or(label)
}

fn colour(nth: usize) -> &'static str {
    COLOURS[nth % COLOURS.len()]
}

/// What is drawn of a series: of too many points, the highest of several.
fn corners(series: &Series, x: Scale, y: Scale) -> Vec<(f64, f64)> {
    let can = |scale, value: f64| scale != Scale::Log || value > 0.0;
    let points = series.points.iter();
    let points: Vec<_> = points
        .copied()
        .filter(|point| can(x, point.0) && can(y, point.1))
        .collect();
    let several = points.len().div_ceil(SEEN).max(1);
    let mut corners: Vec<(f64, f64)> = Vec::new();
    for chunk in points.chunks(several) {
        let highest = chunk.iter().max_by(|a, b| a.1.total_cmp(&b.1));
        let (Some((at, _)), Some((_, value))) = (chunk.first(), highest) else {
            continue;
        };
        if let (true, Some((_, before))) = (series.steps, corners.last().copied()) {
            corners.push((*at, before));
        }
        corners.push((*at, *value));
    }
    if let (true, Some((at, value))) = (series.steps, corners.last().copied()) {
        corners.push((at + 1.0, value));
    }
    corners
}

fn text(out: &mut String, x: f64, y: f64, anchor: &str, text: &str) {
    let text = escaped(text);
    let _ = writeln!(
        out,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>"
    );
}

/// Text for a document of XML or HTML.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_reach_round_values_on_every_scale() {
        let labels = |scale, values: &[f64]| -> Vec<String> {
            let axis = Axis::new(scale, values.iter().copied());
            axis.ticks.into_iter().map(|(_, label)| label).collect()
        };
        assert_eq!(
            labels(Scale::Linear, &[1.0, 9.5]),
            ["0", "2", "4", "6", "8", "10"]
        );
        assert_eq!(labels(Scale::Log, &[0.3, 25.0]), ["0.1", "1", "10", "100"]);
        assert_eq!(
            labels(Scale::Nines, &[0.5, 0.995, 1.0]),
            ["0 %", "90 %", "99 %", "99.9 %"]
        );
        assert_eq!(labels(Scale::Log, &[]), ["1", "10"]);
    }

    #[test]
    fn nines_are_as_far_from_each_other() {
        let axis = Axis::new(Scale::Nines, [0.999].into_iter());
        assert!((axis.at(0.9) - 1.0 / 3.0).abs() < 1e-9);
        assert!((axis.at(0.99) - 2.0 / 3.0).abs() < 1e-9);
        assert!((axis.at(1.0) - 1.0).abs() < f64::EPSILON);
    }

    #[test]
    fn steps_hold_until_the_next_and_many_points_are_the_highest_of_several() {
        let steps = Series::steps("s", vec![(0.0, 1.0), (1.0, 3.0)]);
        assert_eq!(
            corners(&steps, Scale::Linear, Scale::Linear),
            [(0.0, 1.0), (1.0, 1.0), (1.0, 3.0), (2.0, 3.0)]
        );
        let mut many: Vec<_> = (0..3000).map(|nth| (f64::from(nth), 0.0)).collect();
        many[1].1 = 7.0;
        let line = Series::line("l", many);
        assert_eq!(corners(&line, Scale::Linear, Scale::Linear)[0], (0.0, 7.0));
    }

    #[test]
    fn names_cannot_break_the_document() {
        let chart = Chart {
            title: "a<b".to_owned(),
            x: ("s", Scale::Linear),
            y: ("ms", Scale::Log),
            series: vec![Series::line("<script>\"&", vec![(0.0, 0.0), (1.0, 5.0)])],
        };
        let drawn = document("t", &[chart]);
        assert!(drawn.contains("&lt;script&gt;&quot;&amp;") && !drawn.contains("<script"));
        assert_eq!(drawn.matches("<polyline").count(), 1);
        assert!(!drawn.contains("NaN") && !drawn.contains("inf"));
    }
}
