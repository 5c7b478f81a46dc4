//! The values in spec.dump, each with its path, for comparison.

use checkpoint::spec_dump::SpecDump;
use serde_json::Value;

use super::facts::Facts;

/// Returns the mounts by their destinations.
pub fn mounts(spec: &SpecDump) -> Facts {
    let list = spec.keys().get("mounts").and_then(Value::as_array);
    let mounts = list.into_iter().flatten().filter_map(|mount| {
        let destination = mount.get("destination")?.as_str()?;
        let text = |key: &str| mount.get(key).and_then(Value::as_str).unwrap_or_default();
        let options = mount.get("options").and_then(Value::as_array).into_iter().flatten();
        let options: Vec<_> = options.filter_map(Value::as_str).collect();
        let text = format!("{} from {} ({})", text("type"), text("source"), options.join(","));
        Some((destination.to_owned(), text))
    });
    mounts.collect()
}

/// Returns all other values by their paths, such as `process.cwd`. The values of environment
/// variables may be secrets, so only their names are returned. The elements of a list without
/// objects have no order: `process.capabilities.bounding[CAP_KILL]`.
pub fn values(spec: &SpecDump) -> Facts {
    let mut all = Facts::new();
    for (key, value) in spec.keys().iter().filter(|(key, _)| *key != "mounts") {
        add(&mut all, key.clone(), value);
    }
    all
}

fn add(all: &mut Facts, path: String, value: &Value) {
    match value {
        Value::Object(keys) => keys.iter().for_each(|(key, value)| add(all, format!("{path}.{key}"), value)),
        Value::Array(list) if path == "process.env" => {
            for variable in list.iter().filter_map(Value::as_str) {
                let name = variable.split('=').next().unwrap_or_default();
                all.insert(format!("{path}[{name}]"), String::new());
            }
        }
        Value::Array(list) if path == "process.args" || list.iter().any(Value::is_object) => {
            for (n, value) in list.iter().enumerate() {
                add(all, format!("{path}[{n}]"), value);
            }
        }
        Value::Array(list) => {
            for value in list {
                all.insert(format!("{path}[{}]", text(value)), String::new());
            }
        }
        value => drop(all.insert(path, text(value))),
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_paths_and_the_environment_has_no_values() {
        let spec = SpecDump::read(
            br#"{"process":{"args":["a","b"],"env":["A=secret"],"cwd":"/"},"x":[{"y":1}],"z":["p","q"],
            "mounts":[{"destination":"/d","type":"bind","source":"/s","options":["ro","rbind"]}]}"#,
        )
        .unwrap();
        let all = values(&spec);
        let names: Vec<_> = all.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(
            names,
            [
                "process.args[0]=a",
                "process.args[1]=b",
                "process.cwd=/",
                "process.env[A]=",
                "x[0].y=1",
                "z[p]=",
                "z[q]=",
            ]
        );
        assert_eq!(mounts(&spec)["/d"], "bind from /s (ro,rbind)");
    }
}
