//! A line chart as SVG, without background, in colors that are readable on white and on black.

use std::fmt::Write;

pub(crate) struct Chart {
    pub(crate) title: &'static str,
    pub(crate) x_label: &'static str,
    pub(crate) y_label: &'static str,
    /// Both axes begin at zero.
    pub(crate) series: Vec<Series>,
}

pub(crate) struct Series {
    pub(crate) name: &'static str,
    pub(crate) colour: &'static str,
    pub(crate) is_dashed: bool,
    pub(crate) points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 420.0;

/// The edges of the plot area; title, legend and axes are around it.
const LEFT: f64 = 70.0;
const RIGHT: f64 = WIDTH - 20.0;
const TOP: f64 = 66.0;
const BOTTOM: f64 = HEIGHT - 54.0;

/// The color of text and axes: the gray with equal contrast to white and black.
const INK: &str = "#808080";

/// Approximate number of marks on an axis.
const MARKS: f64 = 8.0;

/// An axis from zero to a round number.
struct Axis {
    step: f64,
    max: f64,
}

impl Chart {
    pub(crate) fn svg(&self) -> String {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let x = Axis::to(points().map(|point| point.0).fold(1.0, f64::max));
        let y = Axis::to(points().map(|point| point.1).fold(1.0, f64::max));
        let mut svg = format!(
            "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}' width='{WIDTH}' height='{HEIGHT}' \
             font-family='sans-serif' font-size='13' fill='{INK}'>\n\
             <text x='{LEFT}' y='24' font-size='16'>{}</text>\n",
            self.title
        );
        self.legend(&mut svg);
        self.axes(&mut svg, &x, &y);
        for series in &self.series {
            series.draw(&mut svg, &x, &y);
        }
        svg + "</svg>\n"
    }

    fn legend(&self, svg: &mut String) {
        let mut at = LEFT;
        for series in &self.series {
            let (to, text) = (at + 28.0, at + 34.0);
            let stroke = series.stroke();
            writeln!(svg, "<line x1='{at}' y1='44' x2='{to}' y2='44' {stroke}/>").unwrap();
            writeln!(svg, "<text x='{text}' y='48'>{}</text>", series.name).unwrap();
            at += 140.0;
        }
    }

    fn axes(&self, svg: &mut String, x: &Axis, y: &Axis) {
        let faint = format!("stroke='{INK}' stroke-opacity='0.3'");
        for mark in y.marks() {
            let (at, text) = (down(mark, y), down(mark, y) + 4.0);
            writeln!(svg, "<line x1='{LEFT}' y1='{at:.1}' x2='{RIGHT}' y2='{at:.1}' {faint}/>").unwrap();
            writeln!(svg, "<text x='{}' y='{text:.1}' text-anchor='end'>{mark}</text>", LEFT - 8.0).unwrap();
        }
        for mark in x.marks() {
            let (at, to) = (across(mark, x), BOTTOM + 5.0);
            writeln!(svg, "<line x1='{at:.1}' y1='{BOTTOM}' x2='{at:.1}' y2='{to}' stroke='{INK}'/>").unwrap();
            writeln!(svg, "<text x='{at:.1}' y='{}' text-anchor='middle'>{mark}</text>", BOTTOM + 20.0).unwrap();
        }
        let (middle, height) = (f64::midpoint(LEFT, RIGHT), f64::midpoint(TOP, BOTTOM));
        writeln!(svg, "<line x1='{LEFT}' y1='{BOTTOM}' x2='{RIGHT}' y2='{BOTTOM}' stroke='{INK}'/>").unwrap();
        writeln!(svg, "<line x1='{LEFT}' y1='{TOP}' x2='{LEFT}' y2='{BOTTOM}' stroke='{INK}'/>").unwrap();
        let (x_label, y_label, below) = (self.x_label, self.y_label, HEIGHT - 12.0);
        writeln!(svg, "<text x='{middle}' y='{below}' text-anchor='middle'>{x_label}</text>").unwrap();
        let turned = format!("transform='rotate(-90 18 {height})' text-anchor='middle'");
        writeln!(svg, "<text x='18' y='{height}' {turned}>{y_label}</text>").unwrap();
    }
}

impl Series {
    fn draw(&self, svg: &mut String, x: &Axis, y: &Axis) {
        let points: Vec<_> =
            self.points.iter().map(|point| format!("{:.1},{:.1}", across(point.0, x), down(point.1, y))).collect();
        writeln!(svg, "<polyline fill='none' {} points='{}'/>", self.stroke(), points.join(" ")).unwrap();
    }

    fn stroke(&self) -> String {
        let dashes = if self.is_dashed { " stroke-dasharray='6 4'" } else { "" };
        format!("stroke='{}' stroke-width='2' stroke-linejoin='round'{dashes}", self.colour)
    }
}

impl Axis {
    /// Returns an axis with room for a value above zero; its step is 1, 2 or 5 times a power of ten.
    fn to(value: f64) -> Self {
        let power = 10_f64.powf((value / MARKS).log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|n| n * power).into_iter().find(|step| step * MARKS >= value);
        let step = step.unwrap_or(power * 10.0).max(1.0);
        Self { step, max: (value / step).ceil() * step }
    }

    fn marks(&self) -> impl Iterator<Item = f64> + use<> {
        let (step, max) = (self.step, self.max);
        (0_u32..).map(move |i| f64::from(i) * step).take_while(move |mark| *mark <= max)
    }
}

fn across(value: f64, axis: &Axis) -> f64 {
    LEFT + (RIGHT - LEFT) * value / axis.max
}

fn down(value: f64, axis: &Axis) -> f64 {
    BOTTOM - (BOTTOM - TOP) * value / axis.max
}
