//! DER in files: alone, padded, concatenated, mixed with text.

use muster_core::certificate::{Certificate, pem};
use muster_sandbox::specimen::Ca;

use super::{Planned, id, ids, registers};

fn der(pem: &str) -> Vec<u8> {
    Certificate::from_pem(pem).unwrap().der().to_vec()
}

#[test]
fn padding_after_der_is_removed_with_a_warning() {
    let leaf = Ca::new("Plant CA").leaf("device");
    let der = der(&leaf);
    for padding in [&[0][..], &[0xff], b"\r\n", &[0; 1000], &[0xff; 1600], &[0xff, 0, 0xff], b"\0\r\n"] {
        let padded = [der.as_slice(), padding].concat();
        let text = pem::encode(pem::CERTIFICATE, &padded);
        assert_eq!(registers(&text), Ok(id(&leaf)), "in the worker");
        for (name, content) in [("SN-1.der", padded.clone()), ("SN-1.pem", text.into_bytes())] {
            let planned = Planned::of(&[(name, content)]);
            assert_eq!(planned.sent.get(&id(&leaf)), Some(&Some("SN-1".to_owned())), "{:?}", planned.codes());
            let warning = &planned.tally.first_warnings["padding"];
            assert!(warning.contains(&format!("{} bytes of padding", padding.len())), "{warning}");
        }
    }
}

#[test]
fn garbage_after_der_is_rejected_by_enqueue_and_worker() {
    let leaf = Ca::new("Plant CA").leaf("device");
    for garbage in [&b"x"[..], &[0, 0, 7], &[0x30], &[0x30, 0x82], b"0x"] {
        let content = [der(&leaf).as_slice(), garbage].concat();
        assert!(registers(&pem::encode(pem::CERTIFICATE, &content)).is_err(), "{garbage:?}");
        let planned = Planned::of(&[("a.der", content)]);
        assert_eq!(planned.rejects.len(), 1, "{garbage:?}: garbage is never ignored");
        // The certificate itself is unambiguous and has its own entry.
        assert_eq!(planned.ids(), ids(&[&leaf]));
    }
}

#[test]
fn concatenated_der_certificates_are_all_sent() {
    let ca = Ca::new("Plant CA");
    let leaves = ["a", "b", "c"].map(|name| ca.leaf(name));
    let wanted: Vec<&str> = leaves.iter().map(String::as_str).collect();
    for between in [&[][..], &[0; 7], b"\r\n"] {
        let content = leaves.iter().map(|leaf| [der(leaf).as_slice(), between].concat()).collect::<Vec<_>>().concat();
        assert_eq!(Planned::of(&[("dump.der", content)]).ids(), ids(&wanted));
    }
    let with_ca = [der(&leaves[0]), ca.certificate().der().to_vec()].concat();
    assert_eq!(registers(&pem::encode(pem::CERTIFICATE, &with_ca)), Ok(id(&leaves[0])), "in one block, in the worker");
    let planned = Planned::of(&[("chain.der", with_ca)]);
    assert_eq!((planned.ids(), planned.tally.issuers), (ids(&wanted[..1]), 1));
}

#[test]
fn der_and_pem_in_one_file_are_all_sent() {
    let ca = Ca::new("Plant CA");
    let leaves = ["a", "b", "c", "d"].map(|name| ca.leaf(name));
    let wanted: Vec<&str> = leaves.iter().map(String::as_str).collect();
    let content = [leaves[0].as_bytes(), &der(&leaves[1]), leaves[2].as_bytes(), &der(&leaves[3])].concat();
    assert_eq!(Planned::of(&[("cat.crt", content)]).ids(), ids(&wanted));
}

#[test]
fn truncated_der_is_reported_as_cut_off() {
    let leaf = Ca::new("Plant CA").leaf("device");
    let cut = der(&leaf);
    let planned = Planned::of(&[("a.der", cut[..cut.len() - 40].to_vec())]);
    assert!(planned.rejects[0].reason.contains("cut off"), "{}", planned.rejects[0].reason);
}

#[test]
fn utf16_is_read_with_or_without_bom_and_after_other_text() {
    let ca = Ca::new("Plant CA");
    let (one, other) = (ca.leaf("one"), ca.leaf("other"));
    let utf16 =
        |text: &str, to_bytes: fn(u16) -> [u8; 2]| -> Vec<u8> { text.encode_utf16().flat_map(to_bytes).collect() };
    for to_bytes in [u16::to_le_bytes as fn(u16) -> [u8; 2], u16::to_be_bytes] {
        for text in [format!("\u{feff}{one}{other}"), one.clone() + &other] {
            let text = text.replace('\n', "\r\n");
            assert_eq!(Planned::of(&[("a.pem", utf16(&text, to_bytes))]).ids(), ids(&[&one, &other]));
        }
        // PowerShell's `>>` appends UTF-16 to a file in another encoding.
        let appended = [one.as_bytes(), &utf16(&other, to_bytes)].concat();
        assert_eq!(Planned::of(&[("a.pem", appended)]).ids(), ids(&[&one, &other]));
    }
}
