//! A scale of colours for shares: cividis, which is even to the eye, also to one that sees no red or no green.

/// Ten colours of it, evenly spaced (Nuñez, Anderton, Renslow: PLoS ONE 13(7), 2018).
const CIVIDIS: [u32; 10] = [
    0x00224e, 0x123570, 0x3b496c, 0x575d6d, 0x707173, 0x8a8678, 0xa59c74, 0xc3b369, 0xe1cc55,
    0xfee838,
];

/// The colour of a share of the scale, from 0 to 1; what is outside has that of the end.
pub fn colour(share: f64) -> String {
    let steps = (CIVIDIS.len() - 1) as f64;
    let place = share.clamp(0.0, 1.0) * steps;
    let below = (place.floor() as usize).min(CIVIDIS.len() - 2);
    let part = place - below as f64;
    let channel = |shift: u32| {
        let of = |colour: u32| f64::from(colour >> shift & 0xff);
        let (from, to) = (of(CIVIDIS[below]), of(CIVIDIS[below + 1]));
        (from + (to - from) * part).round() as u32
    };
    format!("#{:02x}{:02x}{:02x}", channel(16), channel(8), channel(0))
}

/// Dark ink on light colours, light ink on dark ones.
pub fn ink_on(colour: &str) -> &'static str {
    let channel = |at: usize| f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap_or(0));
    let brightness = 0.299 * channel(1) + 0.587 * channel(3) + 0.114 * channel(5);
    if brightness > 118.0 {
        "#101418"
    } else {
        "#ffffff"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_are_the_scales_and_between_them_it_grows_lighter() {
        assert_eq!(colour(-1.0), "#00224e");
        assert_eq!(colour(2.0), "#fee838");
        let brightness = |share: f64| {
            let colour = u32::from_str_radix(&colour(share)[1..], 16).unwrap();
            299 * (colour >> 16 & 0xff) + 587 * (colour >> 8 & 0xff) + 114 * (colour & 0xff)
        };
        let all: Vec<u32> = (0..=20)
            .map(|step| brightness(f64::from(step) / 20.0))
            .collect();
        assert!(all.windows(2).all(|pair| pair[0] < pair[1]), "{all:?}");
    }
}
