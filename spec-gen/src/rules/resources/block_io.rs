//! Weights and rates of block devices.

use std::path::Path;

use anyhow::{Context, bail};
use cli::usage;
use serde_json::{Value, json};

use crate::args::ResourceArgs;
use crate::notation::limits::bytes;
use crate::rules::devices::Node;
use crate::runtime_spec::Spec;
use crate::runtime_spec::explain::Trace;
use crate::runtime_spec::key;

/// Sets weights and rates of block devices.
pub fn set(spec: &mut Spec, args: &ResourceArgs, trace: &mut Trace) -> anyhow::Result<()> {
    for device in &args.blkio_weight_device {
        let limit = weight(device).with_context(|| format!("--blkio-weight-device {device}"))?;
        spec.list_mut(key::LINUX_RESOURCES_BLOCK_IO_WEIGHT_DEVICE).push(limit);
        trace.because(spec, || format!("--blkio-weight-device {device}"));
    }
    for (key, flag, rates) in [
        (key::LINUX_RESOURCES_BLOCK_IO_THROTTLE_READ_BPS_DEVICE, "--device-read-bps", &args.device_read_bps),
        (
            key::LINUX_RESOURCES_BLOCK_IO_THROTTLE_WRITE_BPS_DEVICE,
            "--device-write-bps",
            &args.device_write_bps,
        ),
        (
            key::LINUX_RESOURCES_BLOCK_IO_THROTTLE_READ_IOPS_DEVICE,
            "--device-read-iops",
            &args.device_read_iops,
        ),
        (
            key::LINUX_RESOURCES_BLOCK_IO_THROTTLE_WRITE_IOPS_DEVICE,
            "--device-write-iops",
            &args.device_write_iops,
        ),
    ] {
        for rate in rates {
            let limit = throttle(rate).with_context(|| format!("{flag} {rate}"))?;
            spec.list_mut(key).push(limit);
            trace.because(spec, || flag.to_owned());
        }
    }
    Ok(())
}

/// Reads `DEVICE:RATE`.
fn throttle(text: &str) -> anyhow::Result<Value> {
    let parsed =
        text.rsplit_once(':').and_then(|(path, rate)| Some((path, bytes(rate).ok().filter(|r| *r >= 0)?)));
    let (path, rate) = parsed.ok_or_else(|| usage("expected DEVICE:RATE"))?;
    let node = node(path)?;
    Ok(json!({ "major": node.major, "minor": node.minor, "rate": rate }))
}

/// Reads `DEVICE:WEIGHT`.
fn weight(text: &str) -> anyhow::Result<Value> {
    let weight = |text: &str| text.parse::<u16>().ok().filter(|w| (10..=1000).contains(w));
    let parsed = text.rsplit_once(':').and_then(|(path, number)| Some((path, weight(number)?)));
    let (path, weight) = parsed.ok_or_else(|| usage("expected DEVICE:WEIGHT, a weight from 10 to 1000"))?;
    let node = node(path)?;
    Ok(json!({ "major": node.major, "minor": node.minor, "weight": weight }))
}

fn node(path: &str) -> anyhow::Result<Node> {
    match Node::read(Path::new(path)).with_context(|| path.to_owned())? {
        Some(node) => Ok(node),
        None => bail!("{path}: not a device node"),
    }
}
