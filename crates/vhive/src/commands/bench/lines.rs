//! Line plots over time as SVG: steps, since what is plotted are counts.

use std::fmt::Write as _;

use super::plot::{
    BOTTOM, COLOURS, HEIGHT, LEFT, RIGHT, TOP, WIDTH, begin, line, rectangle, step, text,
};

/// One panel: series with a value for each moment, all of them as long.
#[derive(Debug)]
pub(super) struct Lines {
    pub(super) title: String,
    pub(super) series: Vec<(&'static str, Vec<f64>)>,
}

/// Panels below each other; moments are one `unit` apart.
pub(super) fn svg(title: &str, unit: &str, panels: &[Lines]) -> String {
    let mut out = begin(title, panels.len());
    for (index, panel) in panels.iter().enumerate() {
        draw(&mut out, panel, unit, TOP + index as f64 * (HEIGHT + TOP));
    }
    out.push_str("</svg>\n");
    out
}

fn draw(out: &mut String, panel: &Lines, unit: &str, top: f64) {
    let values = || panel.series.iter().flat_map(|(_, values)| values);
    let highest = values().copied().fold(0.0, f64::max);
    let rise = step(highest);
    let end = (highest / rise).ceil().max(1.0) * rise;
    let (bottom, plot) = (top + HEIGHT - BOTTOM, HEIGHT - BOTTOM);
    let y = |value: f64| bottom - value / end * plot;
    let moments = panel.series.iter().map(|(_, values)| values.len()).max();
    let moments = moments.unwrap_or(0).max(1) as f64;
    let x = |moment: f64| LEFT + moment / moments * (WIDTH - LEFT - RIGHT);

    text(out, LEFT, top - 10.0, "start", &panel.title);
    for (index, (name, _)) in panel.series.iter().enumerate() {
        let left = WIDTH / 2.0 + index as f64 * 130.0;
        rectangle(out, (left, top - 20.0), (10.0, 10.0), index);
        text(out, left + 14.0, top - 11.0, "start", name);
    }
    let mut value = 0.0;
    while value <= end + rise / 2.0 {
        line(out, (LEFT, y(value)), (WIDTH - RIGHT, y(value)), "#dddddd");
        text(out, LEFT - 6.0, y(value) + 4.0, "end", &value.to_string());
        value += rise;
    }
    let advance = step(moments);
    let mut moment = 0.0;
    while moment <= moments {
        text(
            out,
            x(moment),
            bottom + 18.0,
            "middle",
            &format!("{moment} {unit}"),
        );
        moment += advance;
    }
    for (index, (_, values)) in panel.series.iter().enumerate() {
        let colour = COLOURS.get(index).copied().unwrap_or("#000000");
        let points = steps(values)
            .into_iter()
            .map(|(moment, value)| format!("{:.1},{:.1}", x(moment), y(value)))
            .collect::<Vec<_>>()
            .join(" ");
        let _ = writeln!(
            out,
            "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>"
        );
    }
    line(out, (LEFT, bottom), (WIDTH - RIGHT, bottom), "#000000");
}

/// The corners of a staircase through values; where there are more than can be seen, each step is the highest of several.
fn steps(values: &[f64]) -> Vec<(f64, f64)> {
    const SEEN: usize = 1500;
    let several = values.len().div_ceil(SEEN).max(1);
    let mut corners: Vec<(f64, f64)> = Vec::new();
    for (nth, chunk) in values.chunks(several).enumerate() {
        let highest = chunk.iter().copied().fold(0.0, f64::max);
        let start = (nth * several) as f64;
        match corners.last_mut() {
            // A step that goes on is one.
            Some((end, value)) if (*value - highest).abs() <= 0.0 => {
                *end = start + chunk.len() as f64;
            }
            _ => corners.extend([(start, highest), (start + chunk.len() as f64, highest)]),
        }
    }
    corners
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_that_go_on_are_one_and_what_cannot_be_seen_is_the_highest() {
        assert_eq!(
            steps(&[1.0, 1.0, 3.0]),
            [(0.0, 1.0), (2.0, 1.0), (2.0, 3.0), (3.0, 3.0)]
        );
        let mut many = vec![0.0; 3000];
        many[1] = 7.0;
        assert_eq!(steps(&many)[..2], [(0.0, 7.0), (2.0, 7.0)]);
        assert_eq!(steps(&[]), []);
    }

    #[test]
    fn every_series_is_a_line() {
        let panel = Lines {
            title: "a & b".to_owned(),
            series: vec![("one", vec![1.0, 2.0]), ("two", vec![0.0, 0.0])],
        };
        let drawn = svg("t", "s", &[panel]);
        assert_eq!(drawn.matches("<polyline").count(), 2);
        assert!(drawn.contains("a &amp; b") && drawn.ends_with("</svg>\n"));
    }
}
