use super::*;

fn figure() -> Figure {
    let points = |scale: f64| (1..=4).map(|x| Point::new(f64::from(x), scale * f64::from(x * x))).collect();
    let series =
        |label: &str, origin, style, scale| Series { label: label.into(), origin, style, points: points(scale) };
    let mut measured = series("measured, \"here\"", Origin::Measured, 0, 1.0);
    measured.points[1].interval = Some(Interval { low: 3.0, high: 5.0 });
    Figure {
        name: "squares".into(),
        title: "Squares & their <roots>, a title that is far too long for one line of a column".into(),
        x: Axis::linear("root", ""),
        y: Axis::log("square", "m²"),
        series: vec![
            measured,
            series("model", Origin::Modelled, 0, 1.1),
            series("paper", Origin::Published, 1, 0.8),
            series("paper, projected", Origin::Projected, 2, 0.7),
        ],
        note: "Nothing is known about it.".into(),
    }
}

#[test]
fn the_same_figure_gives_the_same_bytes() {
    assert_eq!(figure().svg(), figure().svg());
    assert_eq!(figure().csv(), figure().csv());
}

#[test]
fn each_origin_is_drawn_in_its_own_way() {
    let svg = figure().svg().expect("a figure");
    // Four points and one in the legend: filled where measured, hollow where published, none else.
    assert_eq!(svg.matches("<circle").count(), 5);
    assert_eq!(svg.matches("<polygon").count(), 5);
    assert!(svg.lines().filter(|line| line.contains("<circle")).all(|line| line.contains("fill=\"#0072B2\"")));
    assert!(svg.lines().filter(|line| line.contains("<polygon")).all(|line| line.contains("fill=\"#FFFFFF\"")));
    assert_eq!(svg.matches("stroke-dasharray").count(), 4, "two series, each with its sample");
}

#[test]
fn titles_units_and_legend_are_there_and_escaped() {
    let svg = figure().svg().expect("a figure");
    for text in ["Squares &amp; their &lt;roots&gt;", "square (m²)", ">root<", ">model<", "Nothing is known"] {
        assert!(svg.contains(text), "{text}");
    }
    assert!(svg.contains("width=\"8.5cm\"") && !svg.contains("NaN") && !svg.contains("inf"));
}

#[test]
fn every_point_is_in_the_csv() {
    let csv = figure().csv();
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines[0], "series,origin,root,square (m²),low,high");
    assert_eq!(lines.len(), 1 + 16);
    assert_eq!(lines[2], "\"measured, \"\"here\"\"\",measured,2,4,3,5");
    assert_eq!(lines[5], "model,modelled,1,1.1,,");
}

#[test]
fn what_has_no_place_on_an_axis_is_refused() {
    let empty = Figure { series: Vec::new(), ..figure() };
    assert_eq!(empty.svg(), Err(PlotError::Empty("squares".into())));
    for (x, y) in [(1.0, 0.0), (1.0, f64::NAN), (f64::INFINITY, 1.0)] {
        let mut bad = figure();
        bad.series[2].points.push(Point::new(x, y));
        let why = bad.svg().expect_err("refused").to_string();
        assert!(why.contains("paper") && why.contains("squares"), "{why}");
    }
}

#[test]
fn rows_have_their_names_and_bars_along_the_bottom() {
    let interval = Some(Interval { low: 1.0, high: 9.0 });
    let points = |apart| (0..2).map(|row| Point { x: 4.0, y: f64::from(row) + apart, interval }).collect();
    let series = |label: &str, style, apart| Series {
        label: label.into(),
        origin: Origin::Measured,
        style,
        points: points(apart),
    };
    let figure = Figure {
        y: Axis::rows("what", vec!["the first, \"one\"".into(), "the second".into()]),
        series: vec![series("a", 0, -0.1), series("b", 1, 0.1)],
        ..figure()
    };
    let svg = figure.svg().expect("a figure");
    assert!(svg.contains("the second") && !svg.contains(">what<") && !svg.contains("polyline"), "{svg}");
    // Two points and a legend for each: what differs along the bottom is as high as the row.
    assert_eq!(svg.matches("<circle").count(), 3);
    let csv = figure.csv();
    assert!(csv.contains("a,measured,4,\"the first, \"\"one\"\"\",1,9"), "{csv}");
    let beyond = Figure { y: Axis::rows("what", vec!["only one".into()]), ..figure };
    assert!(matches!(beyond.svg(), Err(PlotError::Value { .. })));
}
