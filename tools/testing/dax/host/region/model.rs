// SPDX-License-Identifier: GPL-2.0

//! A model of a region: the expected results of requests, for devices, drivers and names.

use super::{
    op::{Meaning, Text},
    *,
};
use std::collections::BTreeSet;

/// A model of the memory of a region, with parsers for texts.
pub trait Oracle {
    /// A region without allocations.
    fn new(start: u64, len: u64) -> Self;

    /// Parses a number.
    fn number(text: &Text) -> Result<u64, Errno>;
    /// Parses the number of devices to create.
    fn count(text: &Text) -> Result<(), Errno>;
    /// Parses the name of a device: region and number.
    fn name(text: &Text) -> Result<(u32, u32), Errno>;
    /// Parses a range.
    fn range(text: &Text) -> Result<Span, Errno>;

    /// The number of free bytes.
    fn available(&self) -> u64;
    /// Resizes a device, or changes nothing on failure.
    fn resize(&mut self, device: u32, size: u64, align: u64) -> Result<(), Errno>;
    /// Adds a range at the end of a device.
    fn add(&mut self, device: u32, range: Span, align: u64) -> Result<(), Errno>;
    /// Whether entries of `align` can map all ranges of a device.
    fn fits(&self, device: u32, align: u64) -> bool;
    /// The ranges of a device, each with its page offset in the device.
    fn ranges(&self, device: u32) -> Vec<(Span, u64)>;
    /// The physical address of an entry of a device.
    fn address(&self, device: u32, offset: u64, align: u64) -> Option<u64>;
}

/// A device without its memory.
struct Book {
    align: u64,
    memmap_on_memory: bool,
    driver: Option<Driver>,
    /// What the driver has reserved: at the bind, and each time the device grew after that.
    reserved: Vec<Span>,
}

/// A region whose memory an oracle manages.
pub struct Model<A> {
    fixed: Fixed,
    oracle: A,
    devices: BTreeMap<u32, Book>,
    seed: Option<u32>,
    youngest: Option<u32>,
    /// The names that were written to the `new_id` of each driver.
    ids: BTreeSet<(Driver, u32, u32)>,
}

impl<A: Oracle> Model<A> {
    /// A region with its first device, which has no memory.
    pub fn new(fixed: Fixed) -> Self {
        let mut model = Self {
            fixed,
            oracle: A::new(fixed.start, fixed.len),
            devices: BTreeMap::new(),
            seed: None,
            youngest: None,
            ids: BTreeSet::new(),
        };
        model.make(0);
        model
    }

    /// The constant properties of the region.
    pub fn fixed(&self) -> &Fixed {
        &self.fixed
    }

    fn make(&mut self, id: u32) {
        let book = Book {
            align: self.fixed.align,
            memmap_on_memory: false,
            driver: None,
            reserved: Vec::new(),
        };
        self.devices.insert(id, book);
    }

    fn size(&self, id: u32) -> u64 {
        self.oracle
            .ranges(id)
            .iter()
            .map(|((start, end), _)| end + 1 - start)
            .sum()
    }

    fn create(&mut self, text: &Text) -> Result<(), Errno> {
        A::count(text)?;
        if self.oracle.available() == 0 {
            return Err(ENOSPC);
        }
        let id = (0..)
            .find(|id| !self.devices.contains_key(id))
            .expect("a number");
        self.make(id);
        self.seed = self.seed.or(Some(id));
        self.youngest = Some(id);
        Ok(())
    }

    fn delete(&mut self, text: &Text) -> Result<(), Errno> {
        let (region, id) = A::name(text).map_err(|_| ENXIO)?;
        let Some(book) = self.devices.get(&id).filter(|_| region == self.fixed.id) else {
            return Err(ENXIO);
        };
        if book.driver.is_some() || id == 0 || self.size(id) != 0 {
            return Err(EBUSY);
        }
        self.devices.remove(&id);
        for remembered in [&mut self.seed, &mut self.youngest] {
            if *remembered == Some(id) {
                *remembered = None;
            }
        }
        Ok(())
    }

    fn unbound(&self, id: u32) -> Result<(), Errno> {
        match self.devices[&id].driver {
            Some(_) => Err(EBUSY),
            None => Ok(()),
        }
    }

    fn set_align(&mut self, id: u32, text: &Text) -> Result<(), Errno> {
        let align = A::number(text).map_err(|_| ENXIO)?;
        if !ALIGNS.contains(&align) {
            return Err(EINVAL);
        }
        self.unbound(id)?;
        if !self.oracle.fits(id, align) {
            return Err(EINVAL);
        }
        self.devices.get_mut(&id).expect("it is there").align = align;
        Ok(())
    }

    fn set_memmap_on_memory(&mut self, id: u32, text: &Text) -> Result<(), Errno> {
        let on = match text.meaning {
            Meaning::Switch(on) => on,
            _ => return Err(EINVAL),
        };
        if on && !self.fixed.memmap_on_memory {
            return Err(EOPNOTSUPP);
        }
        let book = self.devices.get_mut(&id).expect("it is there");
        if book.driver == Some(Driver::Kmem) && book.memmap_on_memory != on {
            return Err(EBUSY);
        }
        book.memmap_on_memory = on;
        Ok(())
    }

    /// The number of the device with this name on the bus.
    fn find(&self, text: &Text) -> Result<u32, Errno> {
        let (region, id) = A::name(text).map_err(|_| ENODEV)?;
        if region == self.fixed.id && self.devices.contains_key(&id) {
            Ok(id)
        } else {
            Err(ENODEV)
        }
    }

    /// By name, or because it is what the region is for.
    fn matches(&self, driver: Driver, id: u32) -> bool {
        driver == Driver::Kmem || self.ids.contains(&(driver, self.fixed.id, id))
    }

    fn probe(&mut self, driver: Driver, id: u32) -> Result<(), Errno> {
        if self.oracle.ranges(id).is_empty() {
            return Err(ENXIO);
        }
        let spans: Vec<Span> = self.oracle.ranges(id).iter().map(|range| range.0).collect();
        let reserved = match driver {
            Driver::Kmem => spans.iter().filter_map(|span| self.blocks(*span)).collect(),
            _ => spans,
        };
        if reserved.is_empty() {
            return Err(EINVAL);
        }
        let book = self.devices.get_mut(&id).expect("it is there");
        book.driver = Some(driver);
        book.reserved = reserved;
        if self.seed == Some(id) {
            self.seed = None;
        }
        Ok(())
    }

    /// The whole memory blocks in a range, which `kmem` can use.
    fn blocks(&self, (start, end): Span) -> Option<Span> {
        let block = self.fixed.block;
        let (start, after) = (start.div_ceil(block) * block, (end + 1) / block * block);
        (start < after).then(|| (start, after - 1))
    }

    /// Changes the memory of a device. A device that is bound can only grow, if the driver can.
    fn change(
        &mut self,
        id: u32,
        size: Option<u64>,
        change: impl FnOnce(&mut A, u64) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let (driver, align) = (self.devices[&id].driver, self.devices[&id].align);
        let before = self.size(id);
        match driver {
            None => return change(&mut self.oracle, align),
            Some(Driver::FsdevDax) => return Err(EBUSY),
            Some(_) if size.is_some_and(|size| size < before) => return Err(EBUSY),
            Some(_) if size == Some(before) => return Ok(()),
            Some(_) => change(&mut self.oracle, align)?,
        }
        let added = self.added(id, before / 4096, driver == Some(Driver::Kmem));
        let Some(added) = added else {
            let undone = self.oracle.resize(id, before, align);
            undone.expect("a device can have the size that it had");
            return Err(EINVAL);
        };
        let book = self.devices.get_mut(&id).expect("it is there");
        book.reserved.extend(added);
        Ok(())
    }

    /// What a driver reserves of the memory from page `first` on. `kmem` takes whole blocks, which
    /// may begin in the memory before that, and nothing if a range adds no block.
    fn added(&self, id: u32, first: u64, kmem: bool) -> Option<Vec<Span>> {
        let ranges = self.oracle.ranges(id).into_iter();
        let added = ranges.filter(|((start, end), at)| at + (end + 1 - start) / 4096 > first);
        added
            .map(|((start, end), at)| {
                let old = first.saturating_sub(at) * 4096;
                if !kmem {
                    return Some((start + old, end));
                }
                let used = match old {
                    0 => None,
                    _ => self.blocks((start, start + old - 1)),
                };
                self.blocks((used.map_or(start, |used| used.1 + 1), end))
            })
            .collect()
    }

    fn bind(&mut self, driver: Driver, text: &Text) -> Result<(), Errno> {
        let id = self.find(text)?;
        if !self.matches(driver, id) {
            return Err(ENODEV);
        }
        self.unbound(id)?;
        self.probe(driver, id)
    }

    fn unbind(&mut self, driver: Driver, text: &Text) -> Result<(), Errno> {
        let id = self.find(text)?;
        let book = self.devices.get_mut(&id).expect("it is there");
        if book.driver != Some(driver) {
            return Err(ENODEV);
        }
        book.driver = None;
        book.reserved.clear();
        Ok(())
    }

    /// The bus probes each unbound device that now matches the driver.
    fn new_id(&mut self, driver: Driver, text: &Text) -> Result<(), Errno> {
        let (region, instance) = A::name(text)?;
        self.ids.insert((driver, region, instance));
        let ids: Vec<u32> = self.devices.keys().copied().collect();
        for id in ids {
            if self.matches(driver, id) && self.unbound(id).is_ok() {
                // A device whose probe fails stays unbound.
                let _ = self.probe(driver, id);
            }
        }
        Ok(())
    }

    fn remove_id(&mut self, driver: Driver, text: &Text) -> Result<(), Errno> {
        let (region, instance) = A::name(text)?;
        self.ids.remove(&(driver, region, instance));
        Ok(())
    }

    fn device(&self, id: u32, book: &Book) -> Device {
        let mappings = self.oracle.ranges(id);
        let mut reserved = book.reserved.clone();
        reserved.sort_unstable();
        Device {
            size: self.size(id),
            align: book.align,
            resource: mappings
                .first()
                .map_or(self.fixed.start, |((start, _), _)| *start),
            memmap_on_memory: book.memmap_on_memory,
            driver: book.driver,
            reserved,
            open: match book.driver {
                None | Some(Driver::Kmem) => Err(ENXIO),
                Some(_) => Ok(()),
            },
            mappings,
        }
    }

    fn name_of(&self, id: Option<u32>) -> String {
        id.map_or(String::new(), |id| format!("dax{}.{id}", self.fixed.id))
    }
}

impl<A: Oracle> Region for Model<A> {
    fn write(&mut self, target: &Target, text: &Text) -> Result<(), Errno> {
        match *target {
            Target::Create => self.create(text),
            Target::Delete => self.delete(text),
            Target::Size(id) => {
                let size = A::number(text)?;
                self.change(id, Some(size), |oracle, align| oracle.resize(id, size, align))
            }
            Target::Align(id) => self.set_align(id, text),
            Target::Mapping(id) => {
                let range = A::range(text)?;
                self.change(id, None, |oracle, align| oracle.add(id, range, align))
            }
            Target::MemmapOnMemory(id) => self.set_memmap_on_memory(id, text),
            Target::Bind(driver) => self.bind(driver, text),
            Target::Unbind(driver) => self.unbind(driver, text),
            Target::NewId(driver) => self.new_id(driver, text),
            Target::RemoveId(driver) => self.remove_id(driver, text),
        }
    }

    fn fault(&mut self, id: u32, offset: u64) -> Result<u64, Errno> {
        let book = &self.devices[&id];
        match book.driver {
            None | Some(Driver::Kmem) => Err(ENXIO),
            Some(Driver::FsdevDax) => Err(ENODEV),
            Some(Driver::DeviceDax) => self.oracle.address(id, offset, book.align).ok_or(EFAULT),
        }
    }

    fn view(&self) -> View {
        View {
            available: self.oracle.available(),
            seed: self.name_of(self.seed),
            create: self.name_of(self.youngest),
            devices: self
                .devices
                .iter()
                .map(|(id, book)| (*id, self.device(*id, book)))
                .collect(),
        }
    }
}
