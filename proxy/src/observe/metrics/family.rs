//! A metric with its samples as the Prometheus library has it. What the samples are is their modules'.

use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

use super::{Declared, Sample};

/// Of its samples.
pub(super) fn family(declared: &Declared, samples: Vec<Sample>) -> MetricFamily {
    let counts = declared.name.ends_with("_total");
    let mut family = MetricFamily::default();
    family.set_name(declared.name.to_owned());
    family.set_help(declared.help.to_owned());
    family.set_field_type(if counts { MetricType::COUNTER } else { MetricType::GAUGE });
    let metrics = samples.into_iter().map(|(value, labels)| {
        let mut metric = Metric::default();
        metric.set_label(labels.into_iter().map(label).collect());
        if counts {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
        metric
    });
    family.set_metric(metrics.collect());
    family
}

fn label((name, value): (&'static str, String)) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value);
    pair
}
