//! A plot for the terminal: object hit ratio over the size of the tier, by powers of two; dots are the curve of least recently
//! used, letters the policies.

use std::fmt::Write;

use bytesize::ByteSize;

/// Columns of the field.
const WIDTH: usize = 64;
/// Lines of the field.
const HEIGHT: usize = 16;

/// What a policy hit at one size.
#[derive(Debug, Clone)]
pub(super) struct Point<'a> {
    /// The policy.
    pub(super) policy: &'a str,
    /// Bytes of the tier.
    pub(super) bytes: u64,
    /// 0 to 1.
    pub(super) ratio: f64,
}

/// Draws a curve (bytes, object and byte hit ratio) and points.
pub(super) fn draw(curve: &[(u64, f64, f64)], points: &[Point<'_>]) -> String {
    let sizes = points.iter().map(|point| point.bytes).chain(curve.last().map(|(bytes, ..)| *bytes));
    let (least, most) = sizes.fold((u64::MAX, 1), |(least, most), bytes| (least.min(bytes), most.max(bytes)));
    let least = (least / 4).clamp(1, most);
    let top =
        points.iter().map(|point| point.ratio).chain(curve.last().map(|(_, ratio, _)| *ratio)).fold(0.01, f64::max);
    let log = |bytes: u64| (bytes.max(1) as f64).log2();
    let span = (log(most) - log(least)).max(1e-9);
    let column = |bytes: u64| (((log(bytes) - log(least)) / span * (WIDTH - 1) as f64).round() as usize).min(WIDTH - 1);
    let line = |ratio: f64| HEIGHT - 1 - ((ratio / top * (HEIGHT - 1) as f64).round() as usize).min(HEIGHT - 1);
    let mut field = vec![vec![' '; WIDTH]; HEIGHT];
    let of_column = |at: usize| (log(least) + span * at as f64 / (WIDTH - 1) as f64).exp2() as u64;
    for (at, bytes) in (0..WIDTH).map(of_column).enumerate() {
        if let Some((_, ratio, _)) = curve.iter().take_while(|(size, ..)| *size <= bytes).last() {
            field[line(*ratio)][at] = '·';
        }
    }
    let mut names: Vec<&str> = Vec::new();
    for point in points {
        let number = names.iter().position(|name| *name == point.policy).unwrap_or_else(|| {
            names.push(point.policy);
            names.len() - 1
        });
        field[line(point.ratio)][column(point.bytes)] = letter(number);
    }
    let mut text = String::new();
    for (at, cells) in field.iter().enumerate() {
        let ratio = 100.0 * top * (HEIGHT - 1 - at) as f64 / (HEIGHT - 1) as f64;
        let _ = writeln!(text, "{ratio:5.1} % │{}", cells.iter().collect::<String>().trim_end());
    }
    let (left, right) = (ByteSize(least).to_string(), ByteSize(most).to_string());
    let _ = writeln!(text, "        └{}", "─".repeat(WIDTH));
    let _ = writeln!(text, "         {left}{right:>width$}", width = WIDTH - left.chars().count());
    let legend = names.iter().enumerate().map(|(number, name)| format!("{} {name}", letter(number)));
    let _ = write!(text, "         · lru at every size   {}", legend.collect::<Vec<_>>().join("   "));
    text
}

fn letter(number: usize) -> char {
    char::from(b'A' + (number % 26) as u8)
}
