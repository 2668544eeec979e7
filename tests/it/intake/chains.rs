//! Chains in every order and state: the device is found wherever it is, and a CA is never sent in its place.

use muster_core::certificate::{Certificate, pem};
use muster_sandbox::specimen::{Ca, Flaw};

use super::{Planned, id, ids, registers};

/// Creates a device with its chain: leaf, intermediate, root.
fn chain(device: &str) -> (Ca, [String; 3]) {
    let root = Ca::new("Root CA");
    let line = root.intermediate("Line CA");
    let texts = [line.leaf(device), line.pem(), root.pem()];
    (root, texts)
}

const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

#[test]
fn a_chain_in_any_order_yields_its_device() {
    let (_, texts) = chain("device");
    for order in ORDERS {
        let text = order.map(|i| texts[i].as_str()).concat();
        assert_eq!(registers(&text), Ok(id(&texts[0])), "{order:?}");
        let planned = Planned::of(&[("SN-1.pem", text.into_bytes())]);
        assert_eq!((planned.ids(), planned.tally.issuers), (ids(&[&texts[0]]), 2), "{order:?}");
        assert_eq!(planned.sent[&id(&texts[0])].as_deref(), Some("SN-1"), "{order:?}");
    }
}

#[test]
fn a_chain_without_its_intermediate_yields_its_device() {
    let (root, [leaf, _, root_pem]) = chain("device");
    for text in [leaf.clone() + &root_pem, root_pem.clone() + &leaf] {
        assert_eq!(registers(&text), Ok(id(&leaf)));
        let planned = Planned::under(&[("SN-1.pem", text.into_bytes())], &[&root]);
        assert!(!planned.ids().contains(&root.certificate().id()));
        assert_eq!(planned.tally.issuers, 1);
    }
}

#[test]
fn concatenated_and_split_chains_send_every_device_once() {
    let root = Ca::new("Root CA");
    let line = root.intermediate("Line CA");
    let leaves: Vec<_> = (0..5).map(|n| line.leaf(&format!("device {n}"))).collect();
    let (root, line) = (root.pem(), line.pem());
    let in_one: String = leaves
        .iter()
        .enumerate()
        .map(|(n, leaf)| match n % 3 {
            0 => [root.as_str(), &line, leaf].concat(),
            1 => [leaf.as_str(), &line, &root].concat(),
            _ => [line.as_str(), leaf, &root].concat(),
        })
        .collect();
    let wanted: Vec<&str> = leaves.iter().map(String::as_str).collect();
    let planned = Planned::of(&[("bundle.pem", in_one.into_bytes())]);
    assert_eq!((planned.ids(), planned.tally.issuers), (ids(&wanted), 10), "{:?}", planned.codes());
    // The CAs are in their own files, before and after those of the devices.
    let mut files = vec![("0.pem", root.into_bytes()), ("z.pem", line.into_bytes())];
    files.extend(
        ["a.pem", "b.pem", "c.pem", "d.pem", "e.pem"]
            .into_iter()
            .zip(leaves.iter().map(|leaf| leaf.clone().into_bytes())),
    );
    let planned = Planned::of(&files);
    assert_eq!((planned.ids(), planned.tally.issuers), (ids(&wanted), 2), "{:?}", planned.codes());
}

/// Texts that may appear in the place of a device certificate.
fn broken_devices(ca: &Ca) -> Vec<(&'static str, String)> {
    let leaf = ca.leaf("device");
    let der = Certificate::from_pem(&leaf).unwrap().der().to_vec();
    vec![
        ("base64 damaged", leaf.replace("MII", "M*I")),
        ("a character lost", leaf.replacen("MII", "MI", 1)),
        ("DER damaged", leaf.replace("MII", "III")),
        ("cut before END", leaf[..leaf.len() - 80].to_owned() + "\n"),
        ("cut off in DER", pem::encode(pem::CERTIFICATE, &der[..der.len() / 2])),
        ("a request", ca.flawed(Flaw::Request, "device")),
        ("a request in the wrong label", ca.flawed(Flaw::Request, "device").replace(" REQUEST", "")),
        ("damaged, with damaged markers", leaf.replace("MII", "III").replace("-----", "—")),
        ("damaged, TRUSTED", leaf.replace("MII", "III").replace("CERTIFICATE", "TRUSTED CERTIFICATE")),
        ("PKCS7", leaf.replace("MII", "III").replace("CERTIFICATE", "PKCS7")),
        ("an empty block", "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n".to_owned()),
        ("a lone BEGIN", "-----BEGIN CERTIFICATE-----\n".to_owned()),
        (
            "two devices in one block",
            pem::encode(
                pem::CERTIFICATE,
                &[der.as_slice(), Certificate::from_pem(&ca.leaf("other")).unwrap().der()].concat(),
            ),
        ),
        ("trailing garbage", pem::encode(pem::CERTIFICATE, &[der.as_slice(), b"xyz"].concat())),
    ]
}

#[test]
fn a_ca_next_to_an_unreadable_device_is_never_sent() {
    let ca = Ca::new("Plant CA");
    for (what, damaged) in broken_devices(&ca) {
        for text in [damaged.clone() + &ca.pem(), ca.pem() + &damaged] {
            let found = registers(&text);
            assert!(found.is_err(), "{what}: the worker registers {found:?}");
            for cas in [&[][..], &[&ca]] {
                let planned = Planned::under(&[("J-1.crt", text.clone().into_bytes())], cas);
                assert_eq!(planned.sent.len(), 0, "{what}, {} given", cas.len());
                assert_eq!((planned.rejects.len(), planned.tally.issuers), (1, 1), "{what}: {:?}", planned.codes());
                assert_eq!(
                    planned.rejects[0].reference.as_ref().map(ToString::to_string).as_deref(),
                    Some("J-1"),
                    "{what}"
                );
            }
        }
    }
}

#[test]
fn a_ca_chain_next_to_an_unreadable_device_is_never_sent() {
    let root = Ca::new("Root CA");
    let line = root.intermediate("Line CA");
    for (what, damaged) in broken_devices(&line) {
        for text in [
            [damaged.as_str(), &line.pem(), &root.pem()].concat(),
            [root.pem().as_str(), &line.pem(), &damaged].concat(),
            [line.pem().as_str(), &damaged, &root.pem()].concat(),
        ] {
            assert!(registers(&text).is_err(), "{what}");
            let planned = Planned::of(&[("J-1.crt", text.into_bytes())]);
            assert_eq!((planned.sent.len(), planned.rejects.len(), planned.tally.issuers), (0, 1, 2), "{what}");
        }
    }
}

#[test]
fn cas_without_a_device_are_rejected_by_enqueue_and_worker() {
    let root = Ca::new("Root CA");
    let line = root.intermediate("Line CA");
    for text in [line.pem() + &root.pem(), root.pem() + &line.pem()] {
        assert!(registers(&text).unwrap_err().starts_with("several_certificates"));
        let planned = Planned::of(&[("chain.pem", text.into_bytes())]);
        assert_eq!((planned.codes(), planned.tally.issuers), (vec!["several_certificates"], 1));
        // Resent alone, the CA would be taken for a device.
        assert!(planned.rejects[0].certificate_pem.is_none() && planned.rejects[0].certificate_id.is_some());
    }
}

#[test]
fn devices_that_call_themselves_cas_are_still_devices() {
    // Careless factory lines sign each certificate with its own key, all with CA:true and the same name.
    let careless: Vec<_> = (0..3).map(|_| Ca::new("device").pem()).collect();
    let wanted: Vec<&str> = careless.iter().map(String::as_str).collect();
    let planned = Planned::of(&[("bundle.pem", careless.concat().into_bytes())]);
    assert_eq!((planned.ids(), planned.tally.issuers), (ids(&wanted), 0));
    assert_eq!(planned.tally.warnings["leaf_is_a_ca"], 3);
    assert_eq!(registers(&careless[0]), Ok(id(&careless[0])), "alone, in the worker");
    let planned = Planned::of(&[("SN-9.pem", careless[0].clone().into_bytes())]);
    assert_eq!(planned.sent[&id(&careless[0])].as_deref(), Some("SN-9"));
    // Next to something unreadable they may be CAs: they are reported as doubtful and not sent.
    let text = careless.concat() + &Ca::new("x").leaf("y").replace("MII", "III");
    let planned = Planned::of(&[("bundle.pem", text.into_bytes())]);
    assert_eq!((planned.sent.len(), planned.tally.issuers, planned.tally.issuers_in_doubt), (0, 3, 3));
}

#[test]
fn a_repeated_device_counts_as_a_duplicate() {
    let (_, [leaf, line, _]) = chain("device");
    let text = [leaf.as_str(), &line, &leaf].concat();
    assert_eq!(registers(&text), Ok(id(&leaf)));
    let planned = Planned::of(&[("a.pem", text.into_bytes())]);
    assert_eq!((planned.ids(), planned.tally.duplicates, planned.tally.issuers), (ids(&[&leaf]), 1, 1));
}

#[test]
fn a_version_1_root_is_not_sent_as_a_device() {
    let openssl = include_str!("../../data/v1_root.pem");
    let [root, leaf] = [0, 1].map(|n| {
        let block = pem::blocks(openssl).nth(n).unwrap();
        pem::encode(pem::CERTIFICATE, &block.decode().unwrap())
    });
    assert!(!Certificate::from_pem(&root).unwrap().is_ca());
    for text in [root.clone() + &leaf, leaf.clone() + &root] {
        assert_eq!(registers(&text), Ok(id(&leaf)));
        let planned = Planned::of(&[("a.pem", text.into_bytes())]);
        assert_eq!((planned.ids(), planned.tally.issuers), (ids(&[&leaf]), 1));
    }
}
