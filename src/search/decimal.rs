//! Exact decimal numbers and fractions of search values: what was written counts, digit by digit, until the last step,
//! which is the nearest double.

use std::cmp::Ordering;

/// `mantissa` x 10^`exponent`, as precise as written: `1.20` is 120 x 10^-2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decimal {
    pub mantissa: i128,
    pub exponent: i32,
}

/// More digits are refused: no double tells them apart.
const DIGITS: usize = 30;
/// Larger exponents are refused: no double holds them.
const EXPONENT: i32 = 300;

impl Decimal {
    /// Reads `-12.50`, `1e2`, `+3`; none when it is no number, or one that cannot be compared exactly enough.
    pub fn parse(text: &str) -> Option<Decimal> {
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (digits, exponent) = match rest.split_once(['e', 'E']) {
            Some((digits, exponent)) => (digits, exponent.parse::<i32>().ok()?),
            None => (rest, 0),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let well_formed = !whole.is_empty() && (digits.len() == whole.len() || !fraction.is_empty());
        let mut mantissa = 0_i128;
        let mut count = 0;
        for c in whole.chars().chain(fraction.chars()) {
            mantissa = mantissa.checked_mul(10)?.checked_add(i128::from(c.to_digit(10)?))?;
            count += usize::from(mantissa != 0);
        }
        let mut exponent = exponent.checked_sub(i32::try_from(fraction.len()).ok()?)?;
        // R4 says that 1e2 is 95 up to 105: with an exponent there is one digit more than is written.
        if digits.len() != rest.len() {
            (mantissa, exponent) = (mantissa.checked_mul(10)?, exponent.checked_sub(1)?);
        }
        let fits = count <= DIGITS && exponent.abs() <= EXPONENT;
        (well_formed && fits).then_some(Decimal { mantissa: if negative { -mantissa } else { mantissa }, exponent })
    }

    /// The ends of the interval that a number stands for by its last digit: 5.4 is 5.35 up to, but not including, 5.45.
    /// <https://hl7.org/fhir/R4/search.html#number>
    pub fn half_a_digit_around(self) -> Option<(Decimal, Decimal)> {
        let mantissa = self.mantissa.checked_mul(10)?;
        let exponent = self.exponent.checked_sub(1)?;
        Some((Decimal { mantissa: mantissa - 5, exponent }, Decimal { mantissa: mantissa + 5, exponent }))
    }

    /// A tenth of it below and above, for the prefix `ap`.
    pub fn a_tenth_around(self) -> Option<(Decimal, Decimal)> {
        let ten = self.mantissa.checked_mul(10)?;
        let exponent = self.exponent.checked_sub(1)?;
        let tenth = self.mantissa.abs();
        Some((Decimal { mantissa: ten - tenth, exponent }, Decimal { mantissa: ten + tenth, exponent }))
    }

    /// The nearest double.
    pub fn nearest(self) -> f64 {
        format!("{}e{}", self.mantissa, self.exponent).parse().unwrap_or(f64::NAN)
    }

    /// As a fraction; none when it is too large or too small for one.
    pub fn ratio(self) -> Option<Ratio> {
        let power = 10_i128.checked_pow(self.exponent.unsigned_abs())?;
        if self.exponent >= 0 {
            Ratio::new(self.mantissa.checked_mul(power)?, 1)
        } else {
            Ratio::new(self.mantissa, power)
        }
    }
}

/// A fraction in lowest terms, its denominator positive. Every operation is exact or gives none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ratio {
    num: i128,
    den: i128,
}

impl Ratio {
    pub const ZERO: Ratio = Ratio { num: 0, den: 1 };
    pub const ONE: Ratio = Ratio { num: 1, den: 1 };

    pub fn new(num: i128, den: i128) -> Option<Ratio> {
        let (mut a, mut b) = (num.unsigned_abs(), den.unsigned_abs());
        while b != 0 {
            (a, b) = (b, a % b);
        }
        let divisor = i128::try_from(a).ok().filter(|_| den != 0)?;
        let sign = if den < 0 { -1 } else { 1 };
        Some(Ratio { num: sign * (num / divisor), den: sign * (den / divisor) })
    }

    pub fn times(self, other: Ratio) -> Option<Ratio> {
        // Reduced crosswise first, so that what fits in the end does not overflow on the way.
        let (a, b) = (Ratio::new(self.num, other.den)?, Ratio::new(other.num, self.den)?);
        Ratio::new(a.num.checked_mul(b.num)?, a.den.checked_mul(b.den)?)
    }

    pub fn inverse(self) -> Option<Ratio> {
        Ratio::new(self.den, self.num)
    }

    pub fn plus(self, other: Ratio) -> Option<Ratio> {
        let sum = self.num.checked_mul(other.den)?.checked_add(other.num.checked_mul(self.den)?)?;
        Ratio::new(sum, self.den.checked_mul(other.den)?)
    }

    /// The nearest double, by long division.
    pub fn nearest(self) -> f64 {
        let mut text = String::from(if self.num < 0 { "-" } else { "" });
        let (num, den) = (self.num.unsigned_abs(), self.den.unsigned_abs());
        text.push_str(&(num / den).to_string());
        text.push('.');
        let mut rest = num % den;
        let mut significant = if num >= den { 1 } else { 0 };
        while rest != 0 && significant < 40 {
            let Some(ten) = rest.checked_mul(10) else { return self.num as f64 / self.den as f64 };
            let digit = ten / den;
            significant += usize::from(digit != 0 || significant > 0);
            text.push(char::from_digit(u32::try_from(digit).unwrap_or(0), 10).unwrap_or('0'));
            rest = ten % den;
        }
        if text.ends_with('.') {
            text.push('0');
        }
        text.parse().unwrap_or(f64::NAN)
    }
}

impl PartialOrd for Ratio {
    fn partial_cmp(&self, other: &Ratio) -> Option<Ordering> {
        self.nearest().partial_cmp(&other.nearest())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_written() {
        let check = |text: &str, expected: Option<(i128, i32)>| {
            assert_eq!(Decimal::parse(text).map(|d| (d.mantissa, d.exponent)), expected, "{text}");
        };
        check("5.40", Some((540, -2)));
        check("-12", Some((-12, 0)));
        check("+3", Some((3, 0)));
        check("1e2", Some((10, 1)));
        check("1.50E-3", Some((1500, -6)));
        check("0", Some((0, 0)));
        check("000000000000000000000000000000000007", Some((7, 0)));
        for bad in ["", ".", "5.", ".5", "1e", "e3", "1,5", "1.2.3", "0x1", "--1", "٣", "NaN", "inf", "1e999", "1e-400"]
        {
            check(bad, None);
        }
        check(&"9".repeat(40), None);
    }

    #[test]
    fn intervals_by_precision() {
        let check = |text: &str, lo: f64, hi: f64| {
            let (a, b) = Decimal::parse(text).unwrap().half_a_digit_around().unwrap();
            assert_eq!((a.nearest(), b.nearest()), (lo, hi), "{text}");
        };
        check("100", 99.5, 100.5);
        check("100.00", 99.995, 100.005);
        check("1e2", 95.0, 105.0);
        check("5.4", 5.35, 5.45);
        check("-5.4", -5.45, -5.35);
        check("0", -0.5, 0.5);
        let (a, b) = Decimal::parse("-50").unwrap().a_tenth_around().unwrap();
        assert_eq!((a.nearest(), b.nearest()), (-55.0, -45.0));
    }

    #[test]
    fn fractions_are_exact_until_the_last_step() {
        let third = Ratio::new(1, 3).unwrap();
        assert_eq!(third.nearest(), 1.0 / 3.0);
        assert_eq!(third.times(Ratio::new(-6, 2).unwrap()).unwrap(), Ratio::new(-1, 1).unwrap());
        assert_eq!(Ratio::new(0, -5), Some(Ratio::ZERO));
        assert_eq!(Ratio::new(1, 0), None);
        assert_eq!(Decimal::parse("0.054").unwrap().ratio().unwrap().nearest(), 0.054);
        assert_eq!(Decimal::parse("-1234567.875").unwrap().ratio().unwrap().nearest(), -1_234_567.875);
        assert!(Ratio::new(1, 3).unwrap().plus(Ratio::ONE).unwrap() > Ratio::ONE);
    }
}
