//! The log of histograms that `HdrHistogram`'s tools read (`HistogramLogProcessor`, `hdrh`, its plotter): one compressed V2 histogram a
//! second, of latencies in nanoseconds, with the maximum in milliseconds, as these tools expect it.

use std::fmt::Write as _;
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::serialization::{Serializer, V2DeflateSerializer};

use crate::generator::Run;
use crate::summary::by_second;

const NANOSECONDS_A_MILLISECOND: f64 = 1e6;

pub(super) fn text(run: &Run) -> String {
    let start = run.started.duration_since(SystemTime::UNIX_EPOCH);
    let start = start.unwrap_or_default().as_secs_f64();
    let when = jiff::Timestamp::try_from(run.started).unwrap_or_default();
    let mut out = format!(
        "#[Logged with vhive {}]\n\
         #[Histogram log format version 1.3]\n\
         #[StartTime: {start:.3} (seconds since epoch), {when}]\n\
         #[BaseTime: {start:.3} (seconds since epoch)]\n\
         \"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n",
        env!("CARGO_PKG_VERSION"),
    );
    let mut serializer = V2DeflateSerializer::new();
    for (second, histogram) in by_second(&run.samples).iter().enumerate() {
        let mut bytes = Vec::new();
        // It is written to memory.
        if serializer.serialize(histogram, &mut bytes).is_ok() {
            let max = histogram.max() as f64 / NANOSECONDS_A_MILLISECOND;
            let encoded = STANDARD.encode(&bytes);
            let _ = writeln!(out, "{second}.000,1.000,{max:.3},{encoded}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    use super::*;
    use crate::summary;

    #[test]
    fn the_log_is_read_by_a_reader_of_such_logs() {
        let (run, _) = summary::example();
        let log = text(&run);
        // This reader takes the line of names for none.
        let log = log.replace("\"StartTimestamp\"", "#\"StartTimestamp\"");
        let mut answers = 0;
        let mut longest = 0;
        for entry in IntervalLogIterator::new(log.as_bytes()) {
            if let LogEntry::Interval(interval) = entry.unwrap() {
                let bytes = STANDARD.decode(interval.encoded_histogram()).unwrap();
                let read = Deserializer::new().deserialize::<u64, _>(&mut &bytes[..]);
                let histogram = read.unwrap();
                answers += histogram.len();
                longest = longest.max(histogram.max());
            }
        }
        assert_eq!(answers, 27);
        assert!(longest >= 850_000_000, "{longest}");
    }
}
