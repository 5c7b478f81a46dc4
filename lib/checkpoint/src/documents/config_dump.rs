//! `config.dump`: the container engine's configuration of the container.
//!
//! podman writes its complete `ContainerConfig` and identifies the image by `rootfsImageID` and
//! `rootfsImageName`. CRI-O and containerd write nine keys and identify the image by
//! `rootfsImageRef` and `rootfsImage`. podman does not read the keys of CRI-O and containerd, and
//! they do not read podman's keys, so a document for all engines has all of these keys. Unknown
//! keys are preserved in their order.

use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::member::CONFIG_LIMIT;
use crate::network_status::NetworkStatus;
use crate::volume_name::VolumeName;

/// A `config.dump`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConfigDump(Map<String, Value>);

/// A named volume of the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedVolume {
    /// The volume's name, which is also the name of its member.
    pub name: VolumeName,
    /// The path in the container at which the volume is mounted.
    pub destination: String,
}

impl ConfigDump {
    /// The largest document that is read, in bytes.
    pub const LIMIT: u64 = CONFIG_LIMIT;

    /// Parses the document. Keys must have podman's spelling, whereas Go ignores their case.
    ///
    /// # Errors
    /// Returns an error if `text` is not a JSON object with unique keys.
    pub fn read(text: &[u8]) -> Result<ConfigDump> {
        match strict_json::document(text) {
            Ok(Value::Object(keys)) => Ok(ConfigDump(keys)),
            Ok(_) => Err(Error::member("config.dump", "not a JSON object")),
            Err(e) => Err(Error::member("config.dump", e)),
        }
    }

    /// Returns the document in podman's format: indented by two spaces, without a newline at the
    /// end.
    pub fn write(&self) -> Vec<u8> {
        // Serializing a map of JSON values cannot fail.
        serde_json::to_vec_pretty(&self.0).unwrap_or_default()
    }

    /// Returns the string at `key`, or `None` if it is absent or empty: Go writes `""` for a string
    /// that is not set.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.as_str().filter(|text| !text.is_empty())
    }

    /// Returns all keys.
    pub fn keys(&self) -> &Map<String, Value> {
        &self.0
    }

    /// Sets `key`.
    pub fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.0.insert(key.into(), value.into());
    }

    /// Sets `key` unless it has a value other than null and the empty string.
    pub fn set_default(&mut self, key: &str, value: impl Into<Value>) {
        match self.0.get(key) {
            None | Some(Value::Null) => self.set(key, value),
            Some(Value::String(text)) if text.is_empty() => self.set(key, value),
            Some(_) => {}
        }
    }

    /// Returns the named volumes.
    ///
    /// # Errors
    /// Returns an error if `namedVolumes` is not an array, or if a volume has no valid name.
    pub fn volumes(&self) -> Result<Vec<NamedVolume>> {
        let bad = |what: String| Error::member("config.dump", format!("namedVolumes: {what}"));
        let list = match self.0.get("namedVolumes") {
            None | Some(Value::Null) => return Ok(Vec::new()),
            Some(Value::Array(list)) => list,
            Some(_) => return Err(bad("not an array".into())),
        };
        let text = |volume: &Value, key: &str| volume.get(key).and_then(Value::as_str).map(str::to_owned);
        list.iter()
            .map(|volume| {
                let name = text(volume, "volumeName").ok_or_else(|| bad("a volume without a name".into()))?;
                let name = name.parse().map_err(|e| bad(format!("{name}: {e}")))?;
                Ok(NamedVolume { name, destination: text(volume, "dest").unwrap_or_default() })
            })
            .collect()
    }

    /// Adds a named volume.
    pub fn add_volume(&mut self, volume: &NamedVolume) {
        let entry = json!({
            "volumeName": volume.name.as_str(), "dest": volume.destination, "options": ["rprivate", "rbind"]
        });
        match self.0.get_mut("namedVolumes") {
            Some(Value::Array(list)) => list.push(entry),
            _ => self.set("namedVolumes", vec![entry]),
        }
    }

    /// Adds the option `nocopy` to all named volumes. Without this option podman copies the image's
    /// files into a volume before it unpacks the volume's tar, which restores files that the
    /// container had deleted (podman, `mountNamedVolume`).
    pub fn set_nocopy(&mut self) {
        let Some(Value::Array(list)) = self.0.get_mut("namedVolumes") else { return };
        for volume in list.iter_mut().filter_map(Value::as_object_mut) {
            match volume.get_mut("options") {
                Some(Value::Array(options)) => {
                    // podman rejects "copy" together with "nocopy".
                    options.retain(|o| o != "copy");
                    if !options.iter().any(|o| o == "nocopy") {
                        options.push("nocopy".into());
                    }
                }
                _ => {
                    volume.insert("options".into(), json!(["nocopy"]));
                }
            }
        }
    }

    /// Marks anonymous volumes as anonymous. podman stores this property only in its database, so
    /// its import creates a named volume, which `podman rm -v` does not remove. An anonymous volume
    /// is recognized by its name of 64 hexadecimal digits. A volume that already has the key
    /// `setAnonymous` is not changed.
    pub fn set_anonymous(&mut self) {
        let Some(Value::Array(list)) = self.0.get_mut("namedVolumes") else { return };
        for volume in list.iter_mut().filter_map(Value::as_object_mut) {
            let name = volume.get("volumeName").and_then(Value::as_str).unwrap_or_default();
            let generated = name.len() == 64 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            if generated && !volume.contains_key("setAnonymous") {
                volume.insert("setAnonymous".into(), true.into());
            }
        }
    }

    /// Returns whether podman finds in the document what network namespace the container has:
    /// podman always writes this key.
    pub fn has_network(&self) -> bool {
        self.0.contains_key("createNetNS")
    }

    /// Makes podman create a network namespace for the container and connect it to the networks of
    /// `status`. Without networks, the namespace has no interface but `lo`.
    ///
    /// Without these keys, podman passes the path of the network namespace in spec.dump to the
    /// runtime, which fails or joins a namespace that happens to have this path (podman 5.4.2,
    /// `Container.addNetworkNamespace`). podman 6 reads `newNetworks`, too. If the archive has a
    /// network.status, podman takes the addresses from it; those of this document are for images,
    /// from which podman does not read network.status (`importCheckpointImage`).
    pub fn set_networks(&mut self, status: &NetworkStatus) {
        let mut networks = Map::new();
        let taken = |name: &str| status.networks.values().any(|block| block.interfaces.contains_key(name));
        let mut free = (0..).map(|n| format!("eth{n}")).filter(|name| !taken(name));
        for (name, block) in &status.networks {
            let mut options = Map::new();
            // podman supports one interface per network.
            if let Some((interface, addresses)) = block.interfaces.first_key_value() {
                options.insert("interface_name".into(), interface.as_str().into());
                let ips: Vec<String> = addresses.subnets.iter().map(|s| s.ipnet.addr().to_string()).collect();
                if !ips.is_empty() {
                    options.insert("static_ips".into(), ips.into());
                }
                if let Some(mac) = &addresses.mac_address {
                    options.insert("static_mac".into(), mac.to_string().into());
                }
            } else if let Some(interface) = free.next() {
                // podman 6 rejects a network without a name for its interface.
                options.insert("interface_name".into(), interface.into());
            }
            networks.insert(name.clone(), options.into());
        }
        self.set("createNetNS", true);
        self.set("newNetworks", networks);
        // podman ignores the networks of other modes.
        self.set("networkMode", "bridge");
    }

    /// Copies the image's name and ID between the keys of podman and the keys of CRI-O and
    /// containerd if one of the keys is missing.
    pub fn complete_image_keys(&mut self) {
        for (to, from) in [
            ("rootfsImageName", "rootfsImage"),
            ("rootfsImage", "rootfsImageName"),
            ("rootfsImageRef", "rootfsImageID"),
        ] {
            if let Some(value) = self.text(from).map(str::to_owned) {
                self.set_default(to, value);
            }
        }
        // CRI-O's reference is an ID, or a name with a digest; podman accepts only an ID.
        let id = self.text("rootfsImageRef").and_then(image_id).map(str::to_owned);
        if let Some(id) = id {
            self.set_default("rootfsImageID", id);
        }
    }
}

/// Returns the 64 hexadecimal digits of an image ID, which may be prefixed with `sha256:`.
pub fn image_id(text: &str) -> Option<&str> {
    let id = text.strip_prefix("sha256:").unwrap_or(text);
    (id.len() == 64 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn unknown_keys_and_large_numbers_are_preserved() {
        let text =
            r#"{"z":1,"id":"x","a":{"q":18446744073709551615,"b":-9223372036854775808},"namedVolumes":null}"#;
        let mut config = ConfigDump::read(text.as_bytes()).unwrap();
        config.set("new", "y");
        let compact = serde_json::to_string(config.keys()).unwrap();
        assert_eq!(compact, text.replace("null}", "null,\"new\":\"y\"}"));
    }

    #[test]
    fn a_document_that_is_not_an_object_is_rejected() {
        for text in ["", "[]", "null", "{\"a\":1", "{} {}"] {
            assert!(ConfigDump::read(text.as_bytes()).is_err(), "{text}");
        }
        assert!(ConfigDump::read(&[b'['; 100_000]).is_err());
    }

    #[test]
    fn nocopy_replaces_copy_in_all_volumes() {
        let mut config = ConfigDump::read(
            br#"{"namedVolumes":[{"volumeName":"a","dest":"/a","options":["ro","copy"]},{"volumeName":"b","dest":"/b"}]}"#,
        )
        .unwrap();
        config.set_nocopy();
        config.set_nocopy();
        let options: Vec<_> = config.keys()["namedVolumes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|v| v["options"].to_string())
            .collect();
        assert_eq!(options, [r#"["ro","nocopy"]"#, r#"["nocopy"]"#]);
        assert_eq!(config.volumes().unwrap()[1].destination, "/b");
    }

    #[test]
    fn volumes_with_generated_names_are_marked_anonymous() {
        let volume = |name: &str, more: &str| format!(r#"{{"volumeName":"{name}","dest":"/a"{more}}}"#);
        let hex = "0123456789abcdef".repeat(4);
        for (name, more, anonymous) in [
            (hex.as_str(), "", Some(true)),
            (&hex, r#","setAnonymous":false"#, Some(false)),
            (&hex[1..], "", None),
            (&hex.to_uppercase(), "", None),
            ("data", "", None),
        ] {
            let text = format!(r#"{{"namedVolumes":[{}]}}"#, volume(name, more));
            let mut config = ConfigDump::read(text.as_bytes()).unwrap();
            config.set_anonymous();
            assert_eq!(config.keys()["namedVolumes"][0]["setAnonymous"].as_bool(), anonymous, "{text}");
        }
    }

    #[test]
    fn a_volume_whose_name_is_a_path_is_rejected() {
        let config = ConfigDump::read(br#"{"namedVolumes":[{"volumeName":"../x","dest":"/a"}]}"#).unwrap();
        assert!(config.volumes().unwrap_err().to_string().contains("../x"));
    }

    #[test]
    fn networks_have_the_keys_of_podman() {
        let mut config = ConfigDump::read(br#"{"id":"x"}"#).unwrap();
        assert!(!config.has_network());
        let status = br#"{"lan":{"interfaces":{"eth0":{"subnets":[{"ipnet":"10.1.0.5/24","gateway":"10.1.0.1"},
            {"ipnet":"fd99::50/64"}],"mac_address":"02-00-00-00-00-05"}}},"b":{"interfaces":{"eth1":{}}},"c":{}}"#;
        config.set_networks(&NetworkStatus::parse(status).unwrap().unwrap());
        assert!(config.has_network());
        assert_eq!(
            serde_json::to_string(config.keys()).unwrap(),
            r#"{"id":"x","createNetNS":true,"newNetworks":{"b":{"interface_name":"eth1"},"c":{"interface_name":"eth2"},"lan":{"interface_name":"eth0","static_ips":["10.1.0.5","fd99::50"],"static_mac":"02:00:00:00:00:05"}},"networkMode":"bridge"}"#
        );
        config.set_networks(&NetworkStatus::default());
        assert_eq!(config.keys()["newNetworks"], json!({}));
    }

    #[test]
    fn image_keys_of_one_engine_are_copied_to_the_others() {
        let podman = format!(r#"{{"rootfsImageID":"{ID}","rootfsImageName":"a:b"}}"#);
        let crio = format!(r#"{{"rootfsImageRef":"sha256:{ID}","rootfsImage":"a:b"}}"#);
        for text in [podman, crio] {
            let mut config = ConfigDump::read(text.as_bytes()).unwrap();
            config.complete_image_keys();
            assert_eq!(config.text("rootfsImageID"), Some(ID));
            assert_eq!(config.text("rootfsImageName"), Some("a:b"));
            assert_eq!(config.text("rootfsImage"), Some("a:b"));
            assert!(config.text("rootfsImageRef").unwrap().ends_with(ID));
        }
        let mut digest = ConfigDump::read(br#"{"rootfsImageRef":"a@sha256:12"}"#).unwrap();
        digest.complete_image_keys();
        assert_eq!(digest.text("rootfsImageID"), None);
    }
}
