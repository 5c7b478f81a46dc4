//! Lays out a treemap: rectangles whose areas are proportional to sizes.
//!
//! The algorithm is "squarified treemaps" (Bruls, Huizing, van Wijk, 2000): rows are filled as long as
//! their rectangles become more like squares.

/// A rectangle in the coordinates of the chart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rect {
    pub x: f64,
    pub y: f64,
    pub width: f64,
    pub height: f64,
}

/// Returns a rectangle for each of `sizes`, which are in descending order and greater than 0.
pub fn layout(sizes: &[u64], area: Rect) -> Vec<Rect> {
    let total: f64 = sizes.iter().map(|size| *size as f64).sum();
    let scale = area.width * area.height / total.max(1.0);
    let sizes: Vec<f64> = sizes.iter().map(|size| *size as f64 * scale).collect();
    let (mut rest, mut area, mut rects) = (sizes.as_slice(), area, Vec::new());
    while !rest.is_empty() {
        let side = area.width.min(area.height);
        let mut n = 1;
        while n < rest.len() && worst(&rest[..=n], side) <= worst(&rest[..n], side) {
            n += 1;
        }
        let (row, after) = rest.split_at(n);
        area = place(row, area, &mut rects);
        rest = after;
    }
    rects
}

/// Returns the largest ratio of the sides of the rectangles in a row along `side`.
fn worst(row: &[f64], side: f64) -> f64 {
    let sum: f64 = row.iter().sum();
    let ratio = |size: &f64| {
        let (length, thickness) = (side * size / sum, sum / side);
        (length / thickness).max(thickness / length)
    };
    row.iter().map(ratio).fold(0.0, f64::max)
}

/// Places a row along the shorter side of `area`, and returns the rest of the area.
fn place(row: &[f64], area: Rect, rects: &mut Vec<Rect>) -> Rect {
    let sum: f64 = row.iter().sum();
    let is_wide = area.width >= area.height;
    let side = if is_wide { area.height } else { area.width };
    let thickness = if side > 0.0 { sum / side } else { 0.0 };
    let mut at = 0.0;
    for size in row {
        let length = if sum > 0.0 { side * size / sum } else { 0.0 };
        rects.push(match is_wide {
            true => Rect { x: area.x, y: area.y + at, width: thickness, height: length },
            false => Rect { x: area.x + at, y: area.y, width: length, height: thickness },
        });
        at += length;
    }
    match is_wide {
        true => Rect { x: area.x + thickness, width: (area.width - thickness).max(0.0), ..area },
        false => Rect { y: area.y + thickness, height: (area.height - thickness).max(0.0), ..area },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AREA: Rect = Rect { x: 0.0, y: 0.0, width: 600.0, height: 400.0 };

    #[test]
    fn areas_are_proportional_and_inside() {
        let sizes = [600, 600, 400, 300, 200, 200, 100];
        let rects = layout(&sizes, AREA);
        assert_eq!(rects.len(), sizes.len());
        for (size, rect) in sizes.iter().zip(&rects) {
            assert!((rect.width * rect.height - *size as f64 * 100.0).abs() < 1.0, "{rect:?}");
            assert!(rect.x >= -0.01 && rect.x + rect.width <= 600.01, "{rect:?}");
            assert!(rect.y >= -0.01 && rect.y + rect.height <= 400.01, "{rect:?}");
        }
    }

    #[test]
    fn extreme_sizes_have_finite_rectangles() {
        for sizes in [&[u64::MAX, u64::MAX, 1][..], &[1], &[u64::MAX, 1, 1, 1]] {
            for rect in layout(sizes, AREA) {
                assert!([rect.x, rect.y, rect.width, rect.height].iter().all(|n| n.is_finite()), "{rect:?}");
            }
        }
    }
}
