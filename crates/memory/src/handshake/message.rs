//! The message, parsed and checked; no I/O.

use std::ops::Range;

use serde::Deserialize;

use crate::layout::{Layout, PageSize, Region};

/// Why a handshake is refused.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// More bytes than any hypervisor sends.
    #[error("the message is longer than {limit} bytes")]
    TooLong {
        /// Bytes taken.
        limit: usize,
    },
    /// The text is no array of regions.
    #[error("the message is no JSON array of memory regions")]
    Garbage(#[source] serde_json::Error),
    /// Something follows the array.
    #[error("{bytes} bytes follow the array of memory regions")]
    Trailing {
        /// Bytes after the array that are neither white space nor zero.
        bytes: usize,
    },
    /// The array was complete and no descriptor came.
    #[error("no descriptor came with the message")]
    NoDescriptor,
    /// Exactly one is expected.
    #[error("{count} descriptors came with the message, where it has one")]
    ManyDescriptors {
        /// How many came, at least.
        count: usize,
    },
    /// The descriptor is something else.
    #[error("the descriptor that came is not usable")]
    Descriptor(#[source] sys::userfaultfd::Error),
    /// The array is empty.
    #[error("the message names no memory region")]
    NoRegions,
    /// The region holds nothing.
    #[error("memory region {region} is empty")]
    Empty {
        /// Its place in the array.
        region: usize,
    },
    /// The page size is none, or the two fields differ.
    #[error("memory region {region} has pages of {bytes} bytes; only 4096 and 2097152 are known")]
    PageSize {
        /// Its place in the array.
        region: usize,
        /// What it says.
        bytes: u64,
    },
    /// One field says this and the other says that.
    #[error(
        "memory region {region} says page_size {page_size} and page_size_kib {page_size_kib}; both hold bytes and must agree"
    )]
    TwoPageSizes {
        /// Its place in the array.
        region: usize,
        /// The one field.
        page_size: u64,
        /// The legacy field.
        page_size_kib: u64,
    },
    /// All regions have the same page size.
    #[error("memory regions 0 and {region} have pages of different sizes")]
    MixedPageSizes {
        /// Its place in the array.
        region: usize,
    },
    /// A place or length is no multiple of the page size.
    #[error("{field} {value:#x} of memory region {region} is not aligned to its page size")]
    Unaligned {
        /// Its place in the array.
        region: usize,
        /// Which field.
        field: &'static str,
        /// What it says.
        value: u64,
    },
    /// The region reaches past the end of what an address or an offset can be.
    #[error("memory region {region} reaches past the end of the address space")]
    Wraps {
        /// Its place in the array.
        region: usize,
    },
    /// Two regions share addresses, or bytes of the file.
    #[error("memory regions {first} and {second} overlap in {place}")]
    Overlap {
        /// The place of one in the array.
        first: usize,
        /// The place of the other.
        second: usize,
        /// Memory or the memory file.
        place: &'static str,
    },
    /// The region lies outside of the file.
    #[error("memory region {region} ends at byte {end} of a memory file of {file} bytes")]
    BeyondFile {
        /// Its place in the array.
        region: usize,
        /// Where it ends in the file.
        end: u64,
        /// Bytes of the file.
        file: u64,
    },
    /// The regions leave parts of the file out.
    #[error("the memory regions have {sum} bytes together, the memory file has {file}")]
    Size {
        /// Bytes of all regions.
        sum: u64,
        /// Bytes of the file.
        file: u64,
    },
}

/// A region as it is sent. Fields that are not known are left alone: later versions add some.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct WireRegion {
    base_host_virt_addr: u64,
    size: u64,
    offset: u64,
    /// Bytes.
    page_size: Option<u64>,
    /// The field's older name. It holds bytes too.
    page_size_kib: Option<u64>,
}

/// Whether the text holds an array of regions yet.
#[derive(Debug)]
pub(super) enum Text {
    /// It may go on.
    Unfinished(serde_json::Error),
    Finished(Vec<WireRegion>),
}

/// Reads the array at the start of `text`. White space and zero bytes may follow: a descriptor that comes late
/// needs a byte to come with.
pub(super) fn read(text: &[u8]) -> Result<Text, Refusal> {
    let mut stream = serde_json::Deserializer::from_slice(text).into_iter();
    match stream.next() {
        None => match serde_json::from_slice::<Vec<WireRegion>>(text) {
            Err(error) => Ok(Text::Unfinished(error)),
            Ok(regions) => Ok(Text::Finished(regions)),
        },
        Some(Err(error)) if error.is_eof() => Ok(Text::Unfinished(error)),
        Some(Err(error)) => Err(Refusal::Garbage(error)),
        Some(Ok(regions)) => {
            let rest = &text[stream.byte_offset()..];
            let bytes = rest
                .iter()
                .filter(|byte| !(byte.is_ascii_whitespace() || **byte == 0))
                .count();
            if bytes > 0 {
                return Err(Refusal::Trailing { bytes });
            }
            Ok(Text::Finished(regions))
        }
    }
}

/// Parses and checks a whole message for a memory file of `file` bytes.
pub fn parse(text: &[u8], file: u64) -> Result<Layout, Refusal> {
    if text.len() > super::MAX_MESSAGE {
        return Err(Refusal::TooLong {
            limit: super::MAX_MESSAGE,
        });
    }
    match read(text)? {
        Text::Unfinished(error) => Err(Refusal::Garbage(error)),
        Text::Finished(regions) => check(&regions, file),
    }
}

/// Checks the regions for a memory file of `file` bytes.
pub(super) fn check(wire: &[WireRegion], file: u64) -> Result<Layout, Refusal> {
    let Some(first) = wire.first() else {
        return Err(Refusal::NoRegions);
    };
    let page_size = page_size_of(0, first)?;
    let mut regions = Vec::with_capacity(wire.len());
    for (index, region) in wire.iter().enumerate() {
        if page_size_of(index, region)? != page_size {
            return Err(Refusal::MixedPageSizes { region: index });
        }
        regions.push(check_one(index, region, page_size, file)?);
    }
    disjoint(&regions, "memory", Region::addresses)?;
    disjoint(&regions, "the memory file", Region::file_range)?;
    // Each is inside the file and none overlap, so that the sum cannot overflow.
    let sum = regions.iter().map(|region| region.size).sum();
    if sum != file {
        return Err(Refusal::Size { sum, file });
    }
    Ok(Layout::of_checked(&regions, page_size))
}

fn page_size_of(index: usize, region: &WireRegion) -> Result<PageSize, Refusal> {
    let bytes = match (region.page_size, region.page_size_kib) {
        (Some(page_size), Some(page_size_kib)) if page_size != page_size_kib => {
            return Err(Refusal::TwoPageSizes {
                region: index,
                page_size,
                page_size_kib,
            });
        }
        (Some(bytes), _) | (None, Some(bytes)) => bytes,
        // Before it knew huge pages, Firecracker sent neither.
        (None, None) => PageSize::Base.bytes(),
    };
    PageSize::of(bytes).ok_or(Refusal::PageSize {
        region: index,
        bytes,
    })
}

fn check_one(
    index: usize,
    wire: &WireRegion,
    page_size: PageSize,
    file: u64,
) -> Result<Region, Refusal> {
    let region = Region {
        base: wire.base_host_virt_addr,
        size: wire.size,
        offset: wire.offset,
    };
    if region.size == 0 {
        return Err(Refusal::Empty { region: index });
    }
    for (field, value) in [
        ("base_host_virt_addr", region.base),
        ("size", region.size),
        ("offset", region.offset),
    ] {
        if !value.is_multiple_of(page_size.bytes()) {
            return Err(Refusal::Unaligned {
                region: index,
                field,
                value,
            });
        }
    }
    let end = region.offset.checked_add(region.size);
    let (Some(end), Some(_)) = (end, region.base.checked_add(region.size)) else {
        return Err(Refusal::Wraps { region: index });
    };
    if end > file {
        return Err(Refusal::BeyondFile {
            region: index,
            end,
            file,
        });
    }
    Ok(region)
}

fn disjoint(
    regions: &[Region],
    place: &'static str,
    range: impl Fn(&Region) -> Range<u64>,
) -> Result<(), Refusal> {
    let mut order: Vec<_> = regions.iter().map(range).enumerate().collect();
    order.sort_by_key(|(_, range)| range.start);
    for pair in order.windows(2) {
        let ((first, before), (second, after)) = (&pair[0], &pair[1]);
        if after.start < before.end {
            return Err(Refusal::Overlap {
                first: *first.min(second),
                second: *first.max(second),
                place,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TWO: &str = r#"[
        {"base_host_virt_addr":1048576,"size":8192,"offset":0,"page_size":4096},
        {"base_host_virt_addr":4194304,"size":4096,"offset":8192,"page_size":4096,"page_size_kib":4096}
    ]"#;

    fn refused(text: &str, file: u64) -> String {
        parse(text.as_bytes(), file).unwrap_err().to_string()
    }

    /// One region of 4 KiB pages.
    fn one(base: u64, size: u64, offset: u64) -> String {
        format!(
            r#"{{"base_host_virt_addr":{base},"size":{size},"offset":{offset},"page_size":4096}}"#
        )
    }

    #[test]
    fn two_regions_with_a_hole_between_them_are_normal() {
        let layout = parse(TWO.as_bytes(), 12288).unwrap();
        assert_eq!(layout.page_size(), PageSize::Base);
        assert_eq!(
            layout.regions(),
            [
                Region {
                    base: 0x10_0000,
                    size: 8192,
                    offset: 0
                },
                Region {
                    base: 0x40_0000,
                    size: 4096,
                    offset: 8192
                }
            ]
        );
    }

    #[test]
    fn the_legacy_field_holds_bytes_too() {
        let text = r#"[{"base_host_virt_addr":2097152,"size":2097152,"offset":0,"page_size_kib":2097152}]"#;
        let layout = parse(text.as_bytes(), 2 << 20).unwrap();
        assert_eq!(layout.page_size(), PageSize::Huge);
    }

    #[test]
    fn a_region_without_a_page_size_has_small_pages_and_unknown_fields_are_left_alone() {
        let text = r#"[{"base_host_virt_addr":4096,"size":4096,"offset":0,"later":[1]}]"#;
        assert_eq!(
            parse(text.as_bytes(), 4096).unwrap().page_size(),
            PageSize::Base
        );
    }

    #[test]
    fn what_may_follow_is_white_space_and_zero() {
        let text = format!("{TWO}\n\0");
        assert!(parse(text.as_bytes(), 12288).is_ok());
        assert_eq!(
            refused(&format!("{TWO} []"), 12288),
            "2 bytes follow the array of memory regions"
        );
    }

    #[test]
    fn garbage_is_refused_by_name() {
        for text in [
            "",
            "   ",
            "hello",
            "{}",
            "[1]",
            "[{}]",
            "[",
            &TWO[..40],
            "null",
        ] {
            assert!(
                matches!(
                    parse(text.as_bytes(), 4096),
                    Err(Refusal::Garbage(_) | Refusal::Trailing { .. })
                ),
                "{text}"
            );
        }
        let fractional = one(4096, 4096, 0).replace("4096,\"offset", "4096.5,\"offset");
        assert!(matches!(
            parse(format!("[{fractional}]").as_bytes(), 4096),
            Err(Refusal::Garbage(_))
        ));
        assert!(matches!(parse(&[0xff; 8], 4096), Err(Refusal::Garbage(_))));
    }

    #[test]
    fn bad_regions_are_refused_by_name() {
        let two = |a: String, b: String| format!("[{a},{b}]");
        let refusals = [
            (refused("[]", 4096), "the message names no memory region"),
            (
                refused(&format!("[{}]", one(4096, 0, 0)), 4096),
                "memory region 0 is empty",
            ),
            (
                refused(&format!("[{}]", one(4097, 4096, 0)), 4096),
                "base_host_virt_addr 0x1001 of memory region 0 is not aligned to its page size",
            ),
            (
                refused(&format!("[{}]", one(4096, 4095, 0)), 4096),
                "size 0xfff of memory region 0 is not aligned to its page size",
            ),
            (
                refused(&format!("[{}]", one(4096, 4096, 1)), 4096),
                "offset 0x1 of memory region 0 is not aligned to its page size",
            ),
            (
                refused(&two(one(4096, 8192, 0), one(8192, 4096, 8192)), 12288),
                "memory regions 0 and 1 overlap in memory",
            ),
            (
                refused(&two(one(0x9000, 4096, 4096), one(4096, 8192, 0)), 12288),
                "memory regions 0 and 1 overlap in the memory file",
            ),
            (
                refused(&format!("[{}]", one(4096, 8192, 4096)), 8192),
                "memory region 0 ends at byte 12288 of a memory file of 8192 bytes",
            ),
            (
                refused(&format!("[{}]", one(4096, 4096, 0)), 8192),
                "the memory regions have 4096 bytes together, the memory file has 8192",
            ),
            (
                refused(&format!("[{}]", one(u64::MAX - 4095, 4096, 0)), 4096),
                "memory region 0 reaches past the end of the address space",
            ),
            (
                refused(
                    &one(4096, 4096, 0)
                        .replace("\"page_size\":4096", "\"page_size\":4")
                        .replace('{', "[{")
                        .replace('}', "}]"),
                    4096,
                ),
                "memory region 0 has pages of 4 bytes; only 4096 and 2097152 are known",
            ),
            (
                refused(
                    r#"[{"base_host_virt_addr":4096,"size":4096,"offset":0,"page_size":4096,"page_size_kib":4}]"#,
                    4096,
                ),
                "memory region 0 says page_size 4096 and page_size_kib 4; both hold bytes and must agree",
            ),
            (
                refused(
                    &two(
                        one(4096, 4096, 0),
                        one(0x20_0000, 0x20_0000, 0x20_0000).replace(":4096}", ":2097152}"),
                    ),
                    4096,
                ),
                "memory regions 0 and 1 have pages of different sizes",
            ),
        ];
        for (got, expected) in refusals {
            assert_eq!(got, expected);
        }
    }

    #[test]
    fn a_message_that_is_too_long_is_refused_by_name() {
        let text = vec![b' '; super::super::MAX_MESSAGE + 1];
        assert!(matches!(parse(&text, 0), Err(Refusal::TooLong { .. })));
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_covers_the_file_once(
            regions in prop::collection::vec((0u64..32, 0u64..5, 0u64..16), 1..4),
            file in 1u64..16,
        ) {
            let text: Vec<_> = regions
                .iter()
                .map(|(base, size, offset)| one(base * 4096, size * 4096, offset * 4096))
                .collect();
            let text = format!("[{}]", text.join(","));
            if let Ok(layout) = parse(text.as_bytes(), file * 4096) {
                prop_assert_eq!(layout.pages(), file);
                let mut seen: Vec<u64> = Vec::new();
                for region in layout.regions() {
                    for address in region.addresses().step_by(4096) {
                        let (page, start) = layout.page_at(address).unwrap();
                        prop_assert_eq!(start, address);
                        seen.push(page);
                    }
                }
                seen.sort_unstable();
                prop_assert_eq!(seen, (0..file).collect::<Vec<_>>());
            }
        }
    }
}
