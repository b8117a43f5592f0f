//! Takes out of a module what a guest does not need, since the guest's kernel would work through it at every boot.
//!
//! What goes is for tracing and debugging alone: types (BTF), unwinding tables, the list of traceable functions,
//! and symbols that no relocation names. Sections are those of Linux, include/asm-generic/vmlinux.lds.h and
//! kernel/module/main.c.

use object::build::elf::{Builder, Section, SectionData, SectionId, Symbol};
use object::elf;

/// Sections that are looked up by name, and passed over where they are missing.
const UNNEEDED: &[&[u8]] = &[
    b".BTF",
    b".orc_unwind",
    b".orc_unwind_ip",
    b"__mcount_loc",
    b".comment",
];

/// A page, as per-processor data may ask for.
const LARGEST_ALIGNMENT: u64 = 4096;

/// Called first in every function, for tracing.
const TRACE: &[u8] = b"__fentry__";
const CALL: u8 = 0xe8;
/// The instruction of five bytes that does nothing, by which the kernel too replaces the call.
const NOP: [u8; 5] = [0x0f, 0x1f, 0x44, 0x00, 0x00];

/// The module without what is not needed.
pub(super) fn strip(module: &[u8]) -> object::build::Result<Vec<u8>> {
    let mut builder = Builder::read(module)?;
    if builder.sections.iter().any(is_unusual) {
        return Ok(module.to_vec());
    }
    for section in &mut builder.sections {
        // 0 and 1 mean the same, and the crate wants 1.
        section.sh_addralign = section.sh_addralign.max(1);
    }
    let mut gone: Vec<SectionId> = Vec::new();
    for section in &mut builder.sections {
        let name = section.name.as_slice();
        if UNNEEDED.contains(&name) || name.starts_with(b".debug_") {
            section.delete = true;
            gone.push(section.id());
        }
    }
    // With them go their relocations.
    for section in &mut builder.sections {
        section.delete |= section.sh_info_section.is_some_and(|of| gone.contains(&of));
    }
    skip_trace_calls(&mut builder);
    delete_unnamed_symbols(&mut builder);
    // Sections that are loaded keep their offset unless they are given another.
    let mut offset = builder.file_header_size();
    for section in &mut builder.sections {
        if section.is_alloc() && !section.delete {
            offset = offset.next_multiple_of(section.sh_addralign);
            section.sh_offset = offset;
            if let SectionData::Data(_) | SectionData::Note(_) = &section.data {
                offset += section.sh_size;
            }
        }
    }
    let mut out = Vec::new();
    builder.write(&mut out)?;
    Ok(out)
}

/// Is this a section that no compiler makes? A module with one is better left as it is.
fn is_unusual(section: &Section<'_>) -> bool {
    // Sections are renumbered, which a relocation section that does not mark its link would not follow.
    let unmarked =
        matches!(section.data, SectionData::Relocation(_)) && section.sh_info_section.is_none();
    let alignment = section.sh_addralign.max(1);
    unmarked || !alignment.is_power_of_two() || alignment > LARGEST_ALIGNMENT
}

/// Replaces calls for tracing, which the kernel replaces at loading if it finds their list.
fn skip_trace_calls(builder: &mut Builder<'_>) {
    let trace = builder
        .symbols
        .iter()
        .find(|symbol| symbol.name.as_slice() == TRACE)
        .map(Symbol::id);
    if trace.is_none() {
        return;
    }
    let mut calls = Vec::new();
    for section in &mut builder.sections {
        let Some(text) = section.sh_info_section.filter(|_| !section.delete) else {
            continue;
        };
        if let SectionData::Relocation(relocations) = &mut section.data {
            relocations.retain(|relocation| {
                let call = relocation.symbol == trace
                    && matches!(relocation.r_type, elf::R_X86_64_PLT32 | elf::R_X86_64_PC32);
                if call {
                    calls.push((text, relocation.r_offset));
                }
                !call
            });
        }
    }
    for (text, offset) in calls {
        if let SectionData::Data(data) = &mut builder.sections.get_mut(text).data {
            let at = offset as usize;
            let data = data.to_mut();
            if let Some(call) = at
                .checked_sub(1)
                .and_then(|at| data.get_mut(at..at + NOP.len()))
                && call.first() == Some(&CALL)
            {
                call.copy_from_slice(&NOP);
            }
        }
    }
}

/// Symbols serve to resolve relocations; the kernel would copy and resolve the others all the same.
fn delete_unnamed_symbols(builder: &mut Builder<'_>) {
    for symbol in &mut builder.symbols {
        symbol.delete = true;
    }
    for section in builder.sections.iter().filter(|section| !section.delete) {
        if let SectionData::Relocation(relocations) = &section.data {
            for symbol in relocations
                .iter()
                .filter_map(|relocation| relocation.symbol)
            {
                builder.symbols.get_mut(symbol).delete = false;
            }
        }
    }
    builder.delete_orphan_symbols();
    builder.delete_orphan_relocations();
}

#[cfg(test)]
mod tests {
    use object::Endianness;
    use object::build::elf::Relocation;

    use super::*;

    /// `call __fentry__; call used; ret`, with a symbol that nobody names and sections that nobody needs.
    fn module() -> Vec<u8> {
        let mut elf = Builder::new(Endianness::Little, true);
        elf.header.e_type = elf::ET_REL;
        elf.header.e_machine = elf::EM_X86_64;
        let symbols: Vec<_> = [TRACE, b"used", b"idle"]
            .into_iter()
            .map(|name| {
                let symbol = elf.symbols.add();
                symbol.name = name.into();
                symbol.set_st_info(elf::STB_GLOBAL, elf::STT_NOTYPE);
                symbol.id()
            })
            .collect();
        let symbol_table = elf.sections.add();
        symbol_table.name = b".symtab".as_slice().into();
        symbol_table.sh_type = elf::SHT_SYMTAB;
        symbol_table.sh_addralign = 8;
        symbol_table.data = SectionData::Symbol;
        let symbol_table = symbol_table.id();
        let mut loaded = Vec::new();
        for (name, data) in [
            (b".BTF".as_slice(), b"types".as_slice()),
            (b".text", b"\xe8\0\0\0\0\xe8\0\0\0\0\xc3"),
            (b"__mcount_loc", &[0; 8]),
        ] {
            let section = elf.sections.add();
            section.name = name.into();
            section.sh_type = elf::SHT_PROGBITS;
            section.sh_flags = elf::SHF_ALLOC;
            section.sh_addralign = 1;
            section.data = SectionData::Data(data.into());
            loaded.push(section.id());
        }
        let call = |offset, symbol| Relocation {
            r_offset: offset,
            symbol: Some(symbol),
            r_type: elf::R_X86_64_PLT32,
            r_addend: -4,
        };
        for (name, of, relocations) in [
            (
                b".rela.text".as_slice(),
                loaded[1],
                vec![call(1, symbols[0]), call(6, symbols[1])],
            ),
            (b".rela__mcount_loc", loaded[2], vec![call(0, symbols[2])]),
        ] {
            let section = elf.sections.add();
            section.name = name.into();
            section.sh_type = elf::SHT_RELA;
            section.sh_flags = elf::SHF_INFO_LINK;
            section.sh_addralign = 8;
            section.sh_link_section = Some(symbol_table);
            section.sh_info_section = Some(of);
            section.data = SectionData::Relocation(relocations);
        }
        for (name, data) in [
            (b".strtab".as_slice(), SectionData::String),
            (b".shstrtab", SectionData::SectionString),
        ] {
            let section = elf.sections.add();
            section.name = name.into();
            section.sh_type = elf::SHT_STRTAB;
            section.data = data;
        }
        let mut offset = 64;
        for section in &mut elf.sections {
            section.sh_offset = offset;
            if let SectionData::Data(data) = &section.data {
                offset += data.as_slice().len() as u64;
            }
        }
        let mut file = Vec::new();
        elf.write(&mut file).unwrap();
        file
    }

    #[test]
    fn what_only_tracing_needs_goes_and_the_rest_still_links() {
        let stripped = strip(&module()).unwrap();
        let elf = Builder::read(stripped.as_slice()).unwrap();
        let names: Vec<_> = elf.sections.iter().map(|it| it.name.to_string()).collect();
        assert_eq!(
            names,
            [".symtab", ".text", ".rela.text", ".strtab", ".shstrtab"]
        );
        let symbols: Vec<_> = elf.symbols.iter().map(|it| it.name.to_string()).collect();
        assert_eq!(symbols, ["used"]);
        let text = elf
            .sections
            .iter()
            .find(|it| it.name.as_slice() == b".text");
        let SectionData::Data(text) = &text.unwrap().data else {
            panic!("no text");
        };
        assert_eq!(text.as_slice(), b"\x0f\x1f\x44\0\0\xe8\0\0\0\0\xc3");
    }

    #[test]
    fn what_is_stripped_stays_as_it_is() {
        let stripped = strip(&module()).unwrap();
        assert_eq!(strip(&stripped).unwrap(), stripped);
    }

    #[test]
    fn what_is_no_module_is_refused() {
        assert!(strip(b"no module").is_err());
        assert!(strip(&module()[..200]).is_err());
    }
}
