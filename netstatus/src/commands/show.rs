//! `netstatus show`: prints a status as a table or as stable JSON.

use std::io::Write;

use checkpoint::network_status::NetworkStatus;
use cli::{Exit, Output, Session};
use serde_json::{Value, json};

use crate::args::Show;
use crate::input::read_status;

pub fn run(args: &Show, _: &Session) -> anyhow::Result<Exit> {
    let (_, status) = read_status(args.file.as_deref())?;
    let status = status.as_deref();
    let text = if args.json { format!("{:#}\n", json(status)) } else { table(status) };
    let mut output = Output::text(None)?;
    output.write_all(text.as_bytes())?;
    output.commit()?;
    Ok(Exit::Done)
}

/// Returns a table with a line for each address, and a line for the DNS servers of each network.
fn table(status: Option<&NetworkStatus>) -> String {
    let Some(status) = status else { return "no network\n".into() };
    let mut rows = vec![["NETWORK", "INTERFACE", "MAC", "ADDRESS", "GATEWAY"].map(str::to_owned)];
    let none = || "-".to_owned();
    for (network, block) in &status.networks {
        for (name, interface) in &block.interfaces {
            let mac = interface.mac_address.as_ref().map_or_else(none, ToString::to_string);
            let row = |address, gateway| [network.clone(), name.clone(), mac.clone(), address, gateway];
            if interface.subnets.is_empty() {
                rows.push(row(none(), none()));
            }
            for address in &interface.subnets {
                let gateway = address.gateway.map_or_else(none, |g| g.to_string());
                rows.push(row(address.ipnet.to_string(), gateway));
            }
        }
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2), width(3)];
    let mut text = String::new();
    for [a, b, c, d, e] in &rows {
        let [wa, wb, wc, wd] = widths;
        text.push_str(&format!("{a:wa$}  {b:wb$}  {c:wc$}  {d:wd$}  {e}\n"));
    }
    for (network, block) in &status.networks {
        if !block.dns_server_ips.is_empty() || !block.dns_search_domains.is_empty() {
            let servers: Vec<String> = block.dns_server_ips.iter().map(ToString::to_string).collect();
            text.push_str(&format!(
                "dns of {network}: {}",
                if servers.is_empty() { "-".into() } else { servers.join(" ") }
            ));
            if !block.dns_search_domains.is_empty() {
                text.push_str(&format!(", search {}", block.dns_search_domains.join(" ")));
            }
            text.push('\n');
        }
    }
    text
}

fn json(status: Option<&NetworkStatus>) -> Value {
    let networks: Option<Vec<Value>> = status.map(|status| {
        let network = |(name, block): (&String, &checkpoint::network_status::StatusBlock)| {
            let interfaces: Vec<Value> = block
                .interfaces
                .iter()
                .map(|(name, i)| {
                    let addresses: Vec<Value> = i
                        .subnets
                        .iter()
                        .map(|a| json!({"address": a.ipnet.to_string(), "gateway": a.gateway}))
                        .collect();
                    json!({"name": name, "mac": i.mac_address.as_ref().map(ToString::to_string), "addresses": addresses})
                })
                .collect();
            json!({"name": name, "interfaces": interfaces, "dns_servers": block.dns_server_ips, "dns_search": block.dns_search_domains})
        };
        status.networks.iter().map(network).collect()
    });
    json!({"schema": 1, "networks": networks})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_line_for_each_address() {
        let text = br#"{"n1":{"interfaces":{"eth0":{"subnets":[{"ipnet":"10.1.0.5/24","gateway":"10.1.0.1"},{"ipnet":"fd00::5/64"}],
            "mac_address":"02:00:00:00:00:05"},"x":{}},"dns_server_ips":["10.1.0.1"],"dns_search_domains":["a.test"]}}"#;
        let status = NetworkStatus::from_value(strict_json::document(text).unwrap()).unwrap();
        assert_eq!(
            table(status.as_ref()),
            "NETWORK  INTERFACE  MAC                ADDRESS      GATEWAY\n\
             n1       eth0       02:00:00:00:00:05  10.1.0.5/24  10.1.0.1\n\
             n1       eth0       02:00:00:00:00:05  fd00::5/64   -\n\
             n1       x          -                  -            -\n\
             dns of n1: 10.1.0.1, search a.test\n"
        );
        assert_eq!(table(None), "no network\n");
        assert_eq!(json(None), json!({"schema": 1, "networks": null}));
        assert_eq!(
            json(status.as_ref())["networks"][0]["interfaces"][0]["addresses"][1]["gateway"],
            Value::Null
        );
    }
}
