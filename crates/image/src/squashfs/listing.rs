//! The listing of a folder: runs of up to 256 names, each run behind a header that carries what its
//! names have in common. A long listing comes with an index, so that a lookup reads two blocks of
//! it and not all.

use super::metadata::{Metadata, Position};
use super::{Error, Inode};

/// The kernel takes no longer name.
const NAME_MAX: usize = 255;
const RUN_MAX: usize = 256;

/// One name in a folder.
#[derive(Debug, Clone, Copy)]
pub struct Child<'a> {
    /// 1 to 255 bytes without `/` and NUL.
    pub name: &'a [u8],
    /// What it names.
    pub inode: Inode,
}

/// A listing that has been written. The default one is that of an empty folder.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    pub(super) start: Position,
    /// Bytes.
    pub(super) len: u32,
    pub(super) index: Vec<Landmark>,
}

/// An entry of the index: the first name of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Landmark {
    /// Of the run's header, from the start of the listing.
    pub(super) offset: u32,
    /// The metadata block that the header lies in.
    pub(super) block: u32,
    pub(super) name: Box<[u8]>,
}

/// Appends a listing to the directory table. Names ascend by their bytes: the kernel stops a lookup
/// at the first name that lies behind the wanted one.
pub(super) fn write(table: &mut Metadata, children: &[Child]) -> Result<Listing, Error> {
    check_names(children)?;
    let start = table.position()?;
    let first_byte = table.len();
    let mut index = Vec::new();
    let mut indexed_block = start.block;
    let mut rest = children;
    while let Some(first) = rest.first() {
        let here = table.position()?;
        if here.block != indexed_block {
            indexed_block = here.block;
            index.push(Landmark {
                offset: (table.len() - first_byte) as u32,
                block: here.block,
                name: first.name.into(),
            });
        }
        let (run, behind) = rest.split_at(run_length(rest, here.offset));
        write_run(table, run);
        rest = behind;
    }
    // The field that counts them has 16 bits; names behind the last landmark are found by reading on.
    index.truncate(usize::from(u16::MAX));
    Ok(Listing {
        start,
        len: u32::try_from(table.len() - first_byte).map_err(|_| Error::TooLarge)?,
        index,
    })
}

fn check_names(children: &[Child]) -> Result<(), Error> {
    let mut previous: &[u8] = b"";
    for child in children {
        let fits = (1..=NAME_MAX).contains(&child.name.len())
            && !child.name.contains(&b'/')
            && !child.name.contains(&0);
        if !fits || child.name <= previous {
            let name = String::from_utf8_lossy(child.name).into_owned();
            return Err(Error::BadName(name));
        }
        previous = child.name;
    }
    Ok(())
}

const HEADER_LEN: usize = 12;
const ENTRY_LEN: usize = 8;

/// How many of `children` one header serves: their inodes lie in one metadata block, their numbers
/// are within 16 bits of the first, and all of them begin in the metadata block of the header,
/// which begins at `offset` there, so that every block of a listing can have its landmark.
fn run_length(children: &[Child], offset: u16) -> usize {
    let first = children[0].inode;
    let mut place = usize::from(offset) + HEADER_LEN;
    children
        .iter()
        .take(RUN_MAX)
        .enumerate()
        .take_while(|(position, child)| {
            let near = i16::try_from(i64::from(child.inode.number) - i64::from(first.number));
            let begins_here = *position == 0 || place < super::metadata::BLOCK;
            place += ENTRY_LEN + child.name.len();
            begins_here && near.is_ok() && child.inode.position.block == first.position.block
        })
        .count()
}

fn write_run(table: &mut Metadata, run: &[Child]) {
    let first = run[0].inode;
    table.extend(&(run.len() as u32 - 1).to_le_bytes());
    table.extend(&first.position.block.to_le_bytes());
    table.extend(&first.number.to_le_bytes());
    for child in run {
        let distance = i64::from(child.inode.number) - i64::from(first.number);
        table.extend(&child.inode.position.offset.to_le_bytes());
        table.extend(&(distance as i16).to_le_bytes());
        table.extend(&child.inode.class.to_le_bytes());
        table.extend(&(child.name.len() as u16 - 1).to_le_bytes());
        table.extend(child.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inode(number: u32, block: u32) -> Inode {
        Inode {
            number,
            class: 2,
            position: Position { block, offset: 0 },
        }
    }

    fn children(names: &[String]) -> Vec<Child<'_>> {
        names
            .iter()
            .zip(1..)
            .map(|(name, number)| Child {
                name: name.as_bytes(),
                inode: inode(number, 0),
            })
            .collect()
    }

    #[test]
    fn headers_change_with_the_inode_block_the_count_and_the_distance() {
        let names: Vec<String> = (0..300).map(|n| format!("{n:03}")).collect();
        let mut children = children(&names);
        assert_eq!(run_length(&children, 0), 256);
        children[7].inode = inode(8, 8194);
        assert_eq!(run_length(&children, 0), 7);
        children[5].inode = inode(40_000, 0);
        assert_eq!(run_length(&children, 0), 5);
    }

    #[test]
    fn every_further_block_of_a_listing_has_a_landmark() {
        let names: Vec<String> = (0..5_000).map(|n| format!("name-{n:05}")).collect();
        let mut table = Metadata::default();
        table.extend(&[0; 8000]);
        let listing = write(&mut table, &children(&names)).unwrap();
        let last_block = (table.len() - 1) / super::super::metadata::BLOCK;
        assert_eq!(listing.index.len(), last_block);
        for (landmark, block) in listing.index.iter().zip(1u32..) {
            assert_eq!(landmark.block, block * 8194);
        }
    }

    #[test]
    fn names_out_of_order_or_out_of_bounds_are_refused() {
        for names in [
            vec!["b".to_owned(), "a".to_owned()],
            vec!["a".to_owned(), "a".to_owned()],
            vec![String::new()],
            vec!["a/b".to_owned()],
            vec!["a\0".to_owned()],
            vec!["n".repeat(256)],
        ] {
            let error = write(&mut Metadata::default(), &children(&names)).unwrap_err();
            assert!(matches!(error, Error::BadName(_)), "{names:?}");
        }
    }
}
