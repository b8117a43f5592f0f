//! What the kernel says through a userfaultfd.

use std::ops::Range;
use std::os::fd::{FromRawFd, OwnedFd};

use super::abi;

/// One message.
#[derive(Debug)]
pub enum Event {
    /// A thread waits for a page.
    Fault {
        /// Where it touched memory; not rounded to the page unless the kernel did that.
        address: u64,
        /// Whether it meant to write.
        write: bool,
    },
    /// The owner gave these addresses back (`MADV_DONTNEED`, `MADV_REMOVE`): they are zero from now on.
    Remove(Range<u64>),
    /// The owner unmapped these addresses.
    Unmap(Range<u64>),
    /// The owner moved a mapping.
    Remap {
        /// Where it was.
        from: u64,
        /// Where it is.
        to: u64,
        /// Bytes moved.
        length: u64,
    },
    /// The owner forked; this is the userfaultfd of the child.
    Fork(OwnedFd),
    /// Something this kernel has and this library does not know.
    Unknown(u8),
}

/// Room for a batch of messages.
#[derive(Debug)]
pub struct Batch {
    bytes: [u8; abi::MESSAGE * Batch::MESSAGES],
}

impl Batch {
    /// Most messages that one read returns.
    pub const MESSAGES: usize = 32;

    /// An empty batch.
    pub fn new() -> Self {
        Self {
            bytes: [0; abi::MESSAGE * Self::MESSAGES],
        }
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// The messages in the first `length` bytes.
    pub(super) fn events(&self, length: usize) -> Vec<Event> {
        self.bytes[..length]
            .as_chunks::<{ abi::MESSAGE }>()
            .0
            .iter()
            .map(parse)
            .collect()
    }
}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}

/// The layout is that of `struct uffd_msg`: the kind, seven reserved bytes, then up to three words.
///
/// The bytes must come from a userfaultfd: a fork's descriptor is adopted.
fn parse(message: &[u8; abi::MESSAGE]) -> Event {
    let word = |index: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&message[8 + 8 * index..16 + 8 * index]);
        u64::from_ne_bytes(bytes)
    };
    match message[0] {
        abi::EVENT_PAGEFAULT => Event::Fault {
            address: word(1),
            write: word(0) & abi::PAGEFAULT_FLAG_WRITE != 0,
        },
        abi::EVENT_REMOVE => Event::Remove(word(0)..word(1)),
        abi::EVENT_UNMAP => Event::Unmap(word(0)..word(1)),
        abi::EVENT_REMAP => Event::Remap {
            from: word(0),
            to: word(1),
            length: word(2),
        },
        abi::EVENT_FORK => {
            let descriptor = (word(0) as u32).cast_signed();
            // SAFETY: the message was read from a userfaultfd (`Userfaultfd` checks what it is made
            // from), and the kernel opened this descriptor in this process for whoever reads it.
            Event::Fork(unsafe { OwnedFd::from_raw_fd(descriptor) })
        }
        other => Event::Unknown(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, words: [u64; 3]) -> [u8; abi::MESSAGE] {
        let mut bytes = [0; abi::MESSAGE];
        bytes[0] = kind;
        for (to, word) in bytes[8..].chunks_exact_mut(8).zip(words) {
            to.copy_from_slice(&word.to_ne_bytes());
        }
        bytes
    }

    #[test]
    fn a_fault_has_its_address_in_the_second_word() {
        let event = parse(&message(abi::EVENT_PAGEFAULT, [1, 0x7000, 0]));
        assert!(
            matches!(
                event,
                Event::Fault {
                    address: 0x7000,
                    write: true
                }
            ),
            "{event:?}"
        );
    }

    #[test]
    fn removed_and_unmapped_ranges_are_told_apart() {
        let event = parse(&message(abi::EVENT_REMOVE, [0x1000, 0x3000, 0]));
        assert!(
            matches!(&event, Event::Remove(range) if *range == (0x1000..0x3000)),
            "{event:?}"
        );
        let event = parse(&message(abi::EVENT_UNMAP, [0x1000, 0x3000, 0]));
        assert!(
            matches!(&event, Event::Unmap(range) if *range == (0x1000..0x3000)),
            "{event:?}"
        );
    }

    #[test]
    fn what_is_not_known_keeps_its_number() {
        assert!(matches!(
            parse(&message(0x55, [0; 3])),
            Event::Unknown(0x55)
        ));
    }
}
