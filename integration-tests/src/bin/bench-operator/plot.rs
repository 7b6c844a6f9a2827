//! How cost grows with the number of agents, as a picture: three charts side by side, each with two
//! logarithmic axes, in plain SVG. Pure.

use std::fmt::Write as _;

use crate::cost::Cost;

/// Of a chart's own area, in pixels.
const WIDTH: f64 = 250.0;
const HEIGHT: f64 = 220.0;
/// Around it: left for the numbers of its axis, above for its name, below for the numbers of
/// agents.
const LEFT: f64 = 60.0;
const TOP: f64 = 56.0;
const RIGHT: f64 = 24.0;
const BOTTOM: f64 = 52.0;

/// One of the charts.
struct Chart {
    name: &'static str,
    unit: &'static str,
    color: &'static str,
    of: fn(&Cost) -> Option<f64>,
}

const CHARTS: [Chart; 3] = [
    Chart {
        name: "RSS, settled",
        unit: "MiB",
        color: "#1f77b4",
        of: |cost| cost.rss_mib,
    },
    Chart {
        name: "Restart to the last agent",
        unit: "s",
        color: "#d62728",
        of: |cost| cost.restart_seconds,
    },
    Chart {
        name: "CPU of the bring-up",
        unit: "s",
        color: "#2ca02c",
        of: |cost| cost.bring_up_operator_cpu_seconds,
    },
];

/// The picture of these costs, in the order of their numbers of agents.
pub(crate) fn svg(costs: &[Cost]) -> String {
    let outer = LEFT + WIDTH + RIGHT;
    let (width, height) = (3.0 * outer, TOP + HEIGHT + BOTTOM);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <title>What the operator costs by number of agents</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    let agents = Axis::of(costs.iter().map(|cost| f64::from(cost.agents)));
    let mut left = LEFT;
    for chart in &CHARTS {
        draw(&mut text, left, chart, costs, agents.as_ref());
        left += outer;
    }
    text.push_str("</svg>\n");
    text
}

fn draw(text: &mut String, left: f64, chart: &Chart, costs: &[Cost], agents: Option<&Axis>) {
    let bottom = TOP + HEIGHT;
    let middle = left + WIDTH / 2.0;
    let Chart { name, unit, .. } = chart;
    label(
        text,
        middle,
        TOP - 30.0,
        "middle",
        &format!("{name} ({unit})"),
    );
    let points = points(chart, costs);
    let axis = Axis::of(points.iter().map(|point| point.value));
    let (Some(agents), Some(axis)) = (agents, axis) else {
        label(text, middle, TOP + HEIGHT / 2.0, "middle", "not measured");
        return;
    };
    let x = |value: f64| left + WIDTH * agents.share(value);
    let y = |value: f64| bottom - HEIGHT * axis.share(value);
    for tick in agents.ticks() {
        line(text, [x(tick), TOP], [x(tick), bottom]);
        label(text, x(tick), bottom + 18.0, "middle", &amount(tick));
    }
    for tick in axis.ticks() {
        line(text, [left, y(tick)], [left + WIDTH, y(tick)]);
        label(text, left - 6.0, y(tick) + 4.0, "end", &amount(tick));
    }
    label(
        text,
        middle,
        bottom + 40.0,
        "middle",
        "agents (ring: suspended)",
    );
    curve(text, chart, &points, x, y);
}

/// What one run says in one chart.
struct Point {
    agents: f64,
    value: f64,
    suspended: bool,
}

/// Those that were measured; a logarithm knows no 0.
fn points(chart: &Chart, costs: &[Cost]) -> Vec<Point> {
    let point = |cost: &Cost| {
        let value = (chart.of)(cost)?;
        (value > 0.0).then_some(Point {
            agents: f64::from(cost.agents),
            value,
            suspended: cost.suspended,
        })
    };
    costs.iter().filter_map(point).collect()
}

/// The points, joined, each with its value above it; a ring is of agents that are suspended.
fn curve(
    text: &mut String,
    chart: &Chart,
    points: &[Point],
    x: impl Fn(f64) -> f64,
    y: impl Fn(f64) -> f64,
) {
    let color = chart.color;
    let joined = points
        .iter()
        .map(|point| format!("{:.1},{:.1}", x(point.agents), y(point.value)))
        .collect::<Vec<_>>()
        .join(" ");
    push(
        text,
        format_args!(
            "<polyline points=\"{joined}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2\"/>"
        ),
    );
    for point in points {
        let (x, y) = (x(point.agents), y(point.value));
        let fill = if point.suspended { "white" } else { color };
        push(
            text,
            format_args!(
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{fill}\" stroke=\"{color}\"/>"
            ),
        );
        label(text, x, y - 9.0, "middle", &amount(point.value));
    }
}

/// A logarithmic axis of whole decades.
#[derive(Debug, PartialEq, Eq)]
struct Axis {
    first: i32,
    last: i32,
}

impl Axis {
    /// One that holds all values, which are greater than 0; `None` if there are none.
    fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        #[expect(clippy::cast_possible_truncation, reason = "decades of an f64 are few")]
        let decades = values
            .map(f64::log10)
            .fold(None, |span: Option<Self>, decade| {
                let (first, last) = (decade.floor() as i32, decade.ceil() as i32);
                let span = span.unwrap_or(Self { first, last });
                Some(Self {
                    first: span.first.min(first),
                    last: span.last.max(last),
                })
            });
        // A single power of ten is no span.
        decades.map(|span| Self {
            last: span.last.max(span.first + 1),
            ..span
        })
    }

    /// Where a value is, from 0 at the beginning to 1 at the end.
    fn share(&self, value: f64) -> f64 {
        (value.log10() - f64::from(self.first)) / f64::from(self.last - self.first)
    }

    fn ticks(&self) -> impl Iterator<Item = f64> {
        (self.first..=self.last).map(|decade| 10_f64.powi(decade))
    }
}

/// As short as it can be read: three digits, and commas between thousands.
fn amount(value: f64) -> String {
    if value < 9.995 {
        let text = format!("{value:.2}");
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    if value < 99.95 {
        let text = format!("{value:.1}");
        return text.trim_end_matches(".0").to_owned();
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn line(text: &mut String, [x1, y1]: [f64; 2], [x2, y2]: [f64; 2]) {
    push(
        text,
        format_args!(
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"#ccc\"/>"
        ),
    );
}

fn label(text: &mut String, x: f64, y: f64, anchor: &str, what: &str) {
    push(
        text,
        format_args!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{what}</text>"),
    );
}

fn push(text: &mut String, element: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{element}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(agents: u32, rss_mib: Option<f64>) -> Cost {
        Cost {
            agents,
            rss_mib,
            ..Cost::default()
        }
    }

    fn points(svg: &str) -> Vec<(f64, f64)> {
        let attribute = |line: &str, name: &str| -> f64 {
            let (_, rest) = line.split_once(&format!(" {name}=\"")).unwrap();
            rest.split_once('"').unwrap().0.parse().unwrap()
        };
        svg.lines()
            .filter(|line| line.starts_with("<circle"))
            .map(|line| (attribute(line, "cx"), attribute(line, "cy")))
            .collect()
    }

    #[test]
    fn equal_factors_are_equal_distances() {
        let costs = [(100, 4.0), (1_000, 20.0), (10_000, 100.0)];
        let svg = svg(&costs.map(|(agents, mib)| cost(agents, Some(mib))));
        let [first, second, third] = points(&svg)[..] else {
            panic!("{svg}");
        };
        let close = |a: f64, b: f64| (a - b).abs() < 0.2;
        assert!(close(second.0 - first.0, third.0 - second.0), "{svg}");
        assert!(close(second.1 - first.1, third.1 - second.1), "{svg}");
        assert!(third.0 > first.0 && third.1 < first.1, "more is up: {svg}");
        assert!(close(third.0, LEFT + WIDTH), "the axis ends at 10,000");
    }

    #[test]
    fn all_is_told_in_words_and_nothing_is_made_up() {
        let svg = svg(&[cost(100, Some(31.2)), cost(1_000, None)]);
        for text in [
            ">RSS, settled (MiB)<",
            ">Restart to the last agent (s)<",
            ">agents (ring: suspended)<",
            ">100<",
            ">1,000<",
            ">31.2<",
        ] {
            assert!(svg.contains(text), "{text} is missing: {svg}");
        }
        assert_eq!(svg.matches(">not measured<").count(), 2, "{svg}");
        assert_eq!(points(&svg).len(), 1, "{svg}");
    }

    #[test]
    fn an_axis_is_of_whole_decades() {
        let of = |values: &[f64]| Axis::of(values.iter().copied());
        assert_eq!(of(&[31.0, 128.0]), Some(Axis { first: 1, last: 3 }));
        assert_eq!(of(&[100.0]), Some(Axis { first: 2, last: 3 }));
        assert_eq!(of(&[0.1, 1.5]), Some(Axis { first: -1, last: 1 }));
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn amounts_are_short() {
        let amounts = [0.1, 0.016, 1.0, 5.61, 31.24, 100.0, 99_999.6];
        assert_eq!(
            amounts.map(amount),
            ["0.1", "0.02", "1", "5.61", "31.2", "100", "100,000"]
        );
    }
}
