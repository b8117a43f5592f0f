//! Having a snapshot in the page cache, or not: for measurements.

use std::fs::File;
use std::io;

use super::Snapshot;
use crate::chain;

impl Snapshot {
    /// Takes its state, memory and working set out of the page cache, after writing what is dirty. Fails if any of the memory
    /// stays, as it does while a guest has it mapped. Blocks.
    pub fn evict(&self) -> io::Result<()> {
        for path in [self.state(), self.working_set()] {
            match File::open(&path) {
                Ok(file) => {
                    let evicted = sys::page_cache::evict(file);
                    evicted.map_err(|error| io::Error::other(chain(&error)))?;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        let memory = self.memory_file().map_err(io::Error::other)?;
        match memory
            .evict()
            .map_err(|error| io::Error::other(chain(&*error)))?
        {
            0 => Ok(()),
            pages => Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                format!(
                    "{pages} pages of its memory stay in the page cache; somebody has them mapped"
                ),
            )),
        }
    }

    /// Reads its state, memory and working set into the page cache. Blocks.
    pub fn read_in(&self) -> io::Result<()> {
        for path in [self.state(), self.working_set(), self.memory()] {
            match File::open(&path) {
                Ok(mut file) => io::copy(&mut file, &mut io::sink()).map(drop)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
