//! Rough middles of countries (ISO 3166-1 alpha-2, latitude, longitude): the weak place of a client when only its country
//! is known. Degrees rounded to whole numbers, which is as much as a country can tell.

const MIDDLES: &str = "AE 24 54,AF 34 66,AL 41 20,AM 40 45,AO -12 18,AR -34 -64,AT 47 14,AU -25 134,AZ 40 48,BA 44 18,\
BD 24 90,BE 51 4,BF 12 -2,BG 43 25,BH 26 51,BI -3 30,BJ 9 2,BN 5 115,BO -17 -65,BR -10 -55,BT 27 90,BW -22 24,BY 53 28,\
BZ 17 -89,CA 56 -106,CD -3 24,CF 7 21,CG -1 15,CH 47 8,CI 8 -6,CL -30 -71,CM 6 12,CN 35 105,CO 4 -72,CR 10 -84,CU 22 -80,\
CY 35 33,CZ 50 15,DE 51 10,DJ 12 43,DK 56 10,DO 19 -71,DZ 28 3,EC -2 -78,EE 59 26,EG 27 30,ER 15 39,ES 40 -4,ET 9 40,\
FI 64 26,FJ -18 178,FR 46 2,GA -1 12,GB 54 -2,GE 42 43,GH 8 -1,GM 13 -16,GN 11 -10,GR 39 22,GT 16 -90,GY 5 -59,HK 22 114,\
HN 15 -87,HR 45 16,HT 19 -72,HU 47 20,ID -5 120,IE 53 -8,IL 31 35,IN 21 78,IQ 33 44,IR 32 53,IS 65 -18,IT 43 12,JM 18 -77,\
JO 31 36,JP 36 138,KE 0 38,KG 41 75,KH 13 105,KR 36 128,KW 29 48,KZ 48 68,LA 18 103,LB 34 36,LK 7 81,LR 6 -10,LT 55 24,\
LU 50 6,LV 57 25,LY 27 17,MA 32 -6,MD 47 29,ME 43 19,MG -20 47,MK 42 22,ML 17 -4,MM 22 98,MN 46 105,MO 22 114,MR 20 -10,\
MT 36 14,MU -20 58,MV 3 73,MW -13 34,MX 23 -102,MY 4 102,MZ -18 35,NA -22 17,NE 16 8,NG 10 8,NI 13 -85,NL 52 5,NO 62 10,\
NP 28 84,NZ -41 174,OM 21 57,PA 9 -80,PE -10 -76,PG -6 147,PH 13 122,PK 30 70,PL 52 20,PR 18 -66,PS 32 35,PT 39 -8,\
PY -23 -58,QA 25 51,RO 46 25,RS 44 21,RU 60 90,RW -2 30,SA 24 45,SD 15 30,SE 62 15,SG 1 104,SI 46 15,SK 49 20,SL 8 -12,\
SN 14 -14,SO 6 48,SR 4 -56,SS 7 30,SV 14 -89,SY 35 38,TD 15 19,TG 8 1,TH 15 101,TJ 39 71,TM 40 60,TN 34 9,TR 39 35,\
TT 11 -61,TW 24 121,TZ -6 35,UA 49 32,UG 1 32,US 39 -98,UY -33 -56,UZ 41 64,VE 7 -66,VN 16 106,YE 15 48,ZA -29 24,\
ZM -15 30,ZW -19 29";

/// Latitude and longitude of the middle of a country.
pub(crate) fn middle(code: &str) -> Option<(f64, f64)> {
    let entry = MIDDLES.split(',').find(|entry| entry.get(..2) == Some(code))?;
    let mut numbers = entry.split(' ').skip(1).filter_map(|number| number.parse().ok());
    Some((numbers.next()?, numbers.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_can_be_read_and_lies_on_the_globe() {
        for entry in MIDDLES.split(',') {
            let (latitude, longitude) = middle(&entry[..2]).unwrap_or_else(|| panic!("{entry}"));
            assert!((-60.0..=70.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude), "{entry}");
        }
        assert_eq!(middle("NL"), Some((52.0, 5.0)));
        assert_eq!(middle("XX"), None);
    }
}
