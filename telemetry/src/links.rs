//! Metrics of the links to other parties.

use std::{fmt, sync::Arc};

use hippodrome_proto::transport::{Class, Traffic};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::{Registry, Unit},
};

/// Registers what a node's links count.
pub fn register_links(registry: &mut Registry, traffic: Arc<Traffic>) {
    registry.register_collector(Box::new(Links(traffic)));
}

#[derive(Debug)]
struct Links(Arc<Traffic>);

impl Collector for Links {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let connected = ConstGauge::new(self.0.connected() as u64);
        let help = "Other parties to which there is a connection";
        connected.encode(encoder.encode_descriptor("peers_connected", help, None, MetricType::Gauge)?)?;
        let help = "Size of delivered messages whose number and length depend on nobody's behaviour";
        let mut bytes = encoder.encode_descriptor("link", help, Some(&Unit::Bytes), MetricType::Counter)?;
        for class in Class::ALL {
            for (direction, count) in [("out", self.0.sent(class)), ("in", self.0.received(class))] {
                let labels = [("class", class.name()), ("direction", direction)];
                ConstCounter::new(count).encode(bytes.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
