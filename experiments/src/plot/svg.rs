//! The drawing itself.

use std::fmt::Write;

use super::{
    Figure, Origin, Point, Series,
    layout::{LINE, Page, SAMPLE, SMALL, TEXT, WIDTH},
    scale::Range,
};

/// Okabe and Ito's colours, without the yellow that is too light for lines.
const COLOURS: [&str; 7] = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"];
/// Dashes of modelled lines, told apart without their colours.
const DASHES: [&str; 7] = ["6 2", "3 2", "8 2 2 2", "5 2 1.5 2 1.5 2", "1.5 1.5", "10 3", "4 1"];
/// Dots of projected lines, likewise.
const DOTS: [&str; 4] = ["0.9 1.6", "0.9 3.2", "0.9 1.6 0.9 4", "2 4"];
/// Half the height of a marker.
const MARKER: f64 = 2.6;

/// A figure that was checked.
pub(super) fn draw(figure: &Figure) -> String {
    let points = || figure.series.iter().flat_map(|series| &series.points);
    let x = Range::of(&figure.x.scale, points().flat_map(|point| figure.along(point)));
    let y = Range::of(&figure.y.scale, points().flat_map(|point| figure.upwards(point)));
    let mut drawing = Drawing { page: Page::of(figure), x, y, has_rows: figure.has_rows(), svg: String::new() };
    drawing.open();
    drawing.title(figure);
    drawing.grid();
    drawing.axis_titles(figure);
    figure.series.iter().for_each(|series| drawing.series(series));
    figure.series.iter().enumerate().for_each(|(index, series)| drawing.entry(index, series));
    drawing.note();
    drawing.svg + "</svg>\n"
}

struct Drawing {
    page: Page,
    x: Range,
    y: Range,
    has_rows: bool,
    svg: String,
}

impl Drawing {
    fn line(&mut self, element: &str) {
        writeln!(self.svg, "{element}").expect("a string takes everything");
    }

    fn open(&mut self) {
        let height = number(self.page.height());
        let head = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"8.5cm\" viewBox=\"0 0 {WIDTH} {height}\" \
             font-family=\"Helvetica, Arial, sans-serif\" font-size=\"{SMALL}\" fill=\"#000000\">"
        );
        self.line(&head);
        self.line(&format!("<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#FFFFFF\"/>"));
    }

    fn title(&mut self, figure: &Figure) {
        self.line(&format!("<title>{}</title>", escaped(&figure.title)));
        for (index, text) in self.page.title.clone().iter().enumerate() {
            let base = LINE * (index + 1) as f64 - 1.0;
            self.text(WIDTH / 2.0, base, "middle", &format!("font-size=\"{TEXT}\" font-weight=\"bold\""), text);
        }
    }

    fn text(&mut self, x: f64, y: f64, anchor: &str, more: &str, text: &str) {
        let more = if more.is_empty() { String::new() } else { format!(" {more}") };
        let (x, y, text) = (number(x), number(y), escaped(text));
        self.line(&format!("<text x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\"{more}>{text}</text>"));
    }

    fn segment(&mut self, from: (f64, f64), to: (f64, f64), style: &str) {
        let [x1, y1, x2, y2] = [from.0, from.1, to.0, to.1].map(number);
        self.line(&format!("<line x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\" {style}/>"));
    }

    fn at_x(&self, value: f64) -> f64 {
        self.page.left() + self.x.place(value) * (self.page.right() - self.page.left())
    }

    fn at_y(&self, value: f64) -> f64 {
        self.page.bottom() - self.y.place(value) * (self.page.bottom() - self.page.top())
    }

    fn grid(&mut self) {
        let (left, right, top, bottom) = (self.page.left(), self.page.right(), self.page.top(), self.page.bottom());
        let grey = "stroke=\"#DDDDDD\" stroke-width=\"0.5\"";
        for tick in self.y.ticks() {
            let y = self.at_y(tick);
            self.segment((left, y), (right, y), grey);
            self.text(left - 4.0, y + 2.8, "end", "", &self.y.label(tick));
        }
        for tick in self.x.ticks() {
            let x = self.at_x(tick);
            self.segment((x, top), (x, bottom), grey);
            self.text(x, bottom + 10.0, "middle", "", &self.x.label(tick));
        }
        let black = "stroke=\"#000000\" stroke-width=\"0.8\"";
        self.segment((left, bottom), (right, bottom), black);
        self.segment((left, top), (left, bottom), black);
    }

    fn axis_titles(&mut self, figure: &Figure) {
        let size = format!("font-size=\"{TEXT}\"");
        let middle = (self.page.left() + self.page.right()) / 2.0;
        self.text(middle, self.page.axis_title(), "middle", &size, &figure.x.title());
        if self.has_rows {
            // Their names say what they are.
            return;
        }
        let middle = (self.page.top() + self.page.bottom()) / 2.0;
        let turned = format!("{size} transform=\"rotate(-90 9 {})\"", number(middle));
        self.text(9.0, middle, "middle", &turned, &figure.y.title());
    }

    fn series(&mut self, series: &Series) {
        let places: Vec<(f64, f64)> =
            series.points.iter().map(|point| (self.at_x(point.x), self.at_y(point.y))).collect();
        self.path(&places, series);
        for (point, &place) in series.points.iter().zip(&places) {
            self.error_bar(point, place, series.style);
            self.marker(place, series);
        }
    }

    /// Lines where there is a line to draw: between measured points it only leads the eye, and between rows it leads nowhere.
    fn path(&mut self, places: &[(f64, f64)], series: &Series) {
        if places.len() < 2 || self.has_rows {
            return;
        }
        let corners: Vec<String> = places.iter().map(|&(x, y)| format!("{},{}", number(x), number(y))).collect();
        let (colour, dashes) = (COLOURS[series.style % COLOURS.len()], DASHES[series.style % DASHES.len()]);
        let style = match series.origin {
            Origin::Modelled => format!("stroke-width=\"1.3\" stroke-dasharray=\"{dashes}\""),
            Origin::Projected => {
                format!("stroke-width=\"0.9\" stroke-dasharray=\"{}\"", DOTS[series.style % DOTS.len()])
            }
            Origin::Measured | Origin::Published => "stroke-width=\"0.5\"".to_owned(),
        };
        self.line(&format!("<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" {style}/>", corners.join(" ")));
    }

    fn error_bar(&mut self, point: &Point, (x, y): (f64, f64), style: usize) {
        let Some(interval) = point.interval else { return };
        let bar = format!("stroke=\"{}\" stroke-width=\"0.8\"", COLOURS[style % COLOURS.len()]);
        let ends = [interval.low, interval.high];
        let (ends, (across, up)) = match self.has_rows {
            true => (ends.map(|value| (self.at_x(value), y)), (0.0, 2.0)),
            false => (ends.map(|value| (x, self.at_y(value))), (2.0, 0.0)),
        };
        self.segment(ends[0], ends[1], &bar);
        ends.into_iter().for_each(|(x, y)| self.segment((x - across, y - up), (x + across, y + up), &bar));
    }

    fn marker(&mut self, (x, y): (f64, f64), series: &Series) {
        let colour = COLOURS[series.style % COLOURS.len()];
        let fill = match series.origin {
            Origin::Measured => colour,
            Origin::Published => "#FFFFFF",
            Origin::Modelled | Origin::Projected => return,
        };
        let paint = format!("fill=\"{fill}\" stroke=\"{colour}\" stroke-width=\"0.9\"");
        if series.style.is_multiple_of(CORNERS.len() + 1) {
            let [x, y, radius] = [x, y, MARKER].map(number);
            return self.line(&format!("<circle cx=\"{x}\" cy=\"{y}\" r=\"{radius}\" {paint}/>"));
        }
        let corners = CORNERS[series.style % (CORNERS.len() + 1) - 1];
        let corners: Vec<String> =
            corners.iter().map(|(dx, dy)| format!("{},{}", number(x + dx * MARKER), number(y + dy * MARKER))).collect();
        self.line(&format!("<polygon points=\"{}\" {paint}/>", corners.join(" ")));
    }

    fn entry(&mut self, index: usize, series: &Series) {
        let (left, base) = self.page.entry(index);
        let middle = base - 2.8;
        self.path(&[(left, middle), (left + SAMPLE, middle)], series);
        self.marker((left + SAMPLE / 2.0, middle), series);
        self.text(left + SAMPLE + 4.0, base, "start", "", &series.label);
    }

    fn note(&mut self) {
        for (index, text) in self.page.note.clone().iter().enumerate() {
            self.text(4.0, self.page.note_line(index), "start", "fill=\"#555555\"", text);
        }
    }
}

/// Square, upward and downward triangle, diamond: corners in units of half a marker's height. A circle comes before them.
const CORNERS: [&[(f64, f64)]; 4] = [
    &[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
    &[(0.0, -1.2), (1.1, 0.8), (-1.1, 0.8)],
    &[(0.0, 1.2), (1.1, -0.8), (-1.1, -0.8)],
    &[(0.0, -1.3), (1.2, 0.0), (0.0, 1.3), (-1.2, 0.0)],
];

/// A length to a hundredth of a point.
fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    let short = text.trim_end_matches('0').trim_end_matches('.');
    if short == "-0" { "0".to_owned() } else { short.to_owned() }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
