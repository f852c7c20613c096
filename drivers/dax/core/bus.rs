// SPDX-License-Identifier: GPL-2.0

//! The dax bus: it decides which driver an instance is bound to.
//!
//! A driver matches an instance by the type that the region asks for, or by a name in the driver's
//! `new_id`. The bus stores a name as two numbers: those of the region and of the instance in it.

use crate::{
    attributes,
    class,
    ffi::{
        self,
        driver::Driver, //
    },
    instance::Instance,
    ranges::parse,
    region, //
};
use kernel::{
    attribute_groups,
    bindings,
    bus::{
        Binding,
        Bus,
        BusType,
        Uevent,
        Unbinding, //
    },
    device::{
        attribute::{
            Attribute,
            Groups,
            Mode, //
        },
        subclass::Subclass, //
    },
    new_mutex,
    prelude::*,
    rbtree::RBTree,
    sync::{
        Arc,
        Mutex,
        SetOnce, //
    }, //
};

/// The bus, at `/sys/bus/dax`.
pub(crate) static DAX_BUS: BusType<DaxBus> = ffi::bus_type();

/// The type of device in `modalias`. udev loads `device_dax` by it. There is no other type.
pub(crate) const MODALIAS_TYPE: u32 = 0;

/// A name in a driver's list: the driver, the region, the instance.
type MatchId = (usize, u32, u32);

/// The names that were written to the drivers' `new_id`.
#[pin_data]
struct MatchIds {
    #[pin]
    ids: Mutex<RBTree<MatchId, ()>>,
}

static MATCH_IDS: SetOnce<Arc<MatchIds>> = SetOnce::new();

fn match_ids() -> Result<&'static Mutex<RBTree<MatchId, ()>>> {
    MATCH_IDS.as_ref().map(|ids| &ids.ids).ok_or(ENODEV)
}

/// Registers the bus. Called once, before any region or driver is registered.
pub(crate) fn init() -> Result {
    let ids = Arc::pin_init(
        pin_init!(MatchIds { ids <- new_mutex!(RBTree::new(), "dax::MatchIds") }),
        GFP_KERNEL,
    )?;

    MATCH_IDS.populate(ids);
    region::init()?;
    class::init()?;
    DAX_BUS.register()
}

/// Forgets all names of a driver that has been unregistered.
pub(crate) fn forget_driver(drv: &Driver) {
    let Ok(ids) = match_ids() else { return };
    let mut ids = ids.lock();

    // The first of the driver's names is the first that is not below this.
    while let Some(id) = ids
        .cursor_lower_bound(&(drv.key(), 0, 0))
        .map(|cursor| *cursor.current().0)
        .filter(|id| id.0 == drv.key())
    {
        ids.remove(&id);
    }
}

/// The policy of the dax bus.
pub(crate) struct DaxBus;

impl Bus for DaxBus {
    const NAME: &'static CStr = c"dax";

    type Device = Instance;
    type Driver = Driver;

    const DEVICE_GROUPS: &'static Groups<Subclass<Instance>> = &attributes::BUS_GROUPS;
    const DRIVER_GROUPS: &'static Groups<Driver> = &DRIVER_GROUPS;

    fn matches(dev: &Subclass<Instance>, drv: &Driver) -> bool {
        let named = match_ids().is_ok_and(|ids| {
            ids.lock()
                .get(&(drv.key(), dev.region().id(), dev.id()))
                .is_some()
        });

        named || matches_type(dev, drv)
    }

    fn uevent(_dev: &Subclass<Instance>, env: &Uevent) -> Result {
        env.add(fmt!("MODALIAS=dax:t{MODALIAS_TYPE}"))
    }

    fn probe(binding: Binding<'_, Self>) -> Result {
        let dev = binding.device();
        let layout = dev.region().layout(dev.key())?;

        if layout.ranges.is_empty() {
            return Err(ENXIO);
        }
        let driver = binding.driver();
        if layout.bare && !driver.takes_bare() {
            dev_info!(
                dev,
                "not bound to {}: it needs struct pages, and memmap is 0; write 1 to memmap, or bind the device to device_dax\n",
                driver.name()
            );
            return Err(EOPNOTSUPP);
        }
        ffi::instance::probe(binding, layout)?;
        dev.region().seed_was_bound(dev.key());
        Ok(())
    }

    fn remove(unbinding: Unbinding<'_, Self>) {
        ffi::instance::remove(unbinding)
    }
}

/// Whether the driver is of the kind that the region asks for.
fn matches_type(dev: &Subclass<Instance>, drv: &Driver) -> bool {
    let wanted = if dev.region().wants_kmem() {
        bindings::dax_driver_type_DAXDRV_KMEM_TYPE
    } else {
        bindings::dax_driver_type_DAXDRV_DEVICE_TYPE
    };

    // Without kmem in the kernel, device_dax serves the memory that is meant for kmem.
    drv.kind() == wanted
        || (drv.kind() == bindings::dax_driver_type_DAXDRV_DEVICE_TYPE
            && cfg!(not(CONFIG_DEV_DAX_KMEM)))
}

attribute_groups! {
    /// The files in `/sys/bus/dax/drivers/*`.
    static DRIVER_GROUPS: Driver = of_driver DriverAttribute None, [NewId, RemoveId]
}

/// `new_id`: the driver matches the instance of this name, even if its type is another one.
struct NewId;

impl Attribute for NewId {
    type Owner = Driver;

    const NAME: &'static CStr = c"new_id";
    const MODE: Mode = 0o200;

    fn store(drv: &Driver, input: &[u8]) -> Result {
        let name = parse::name(input)?;

        match_ids()?.lock().try_create_and_insert(
            (drv.key(), name.region, name.instance),
            (),
            GFP_KERNEL,
        )?;
        drv.attach()
    }
}

/// `remove_id`: removes a name from the list of `new_id`.
///
/// A name that is not in the list is no error, because tools write the name of each instance that
/// they unbind.
struct RemoveId;

impl Attribute for RemoveId {
    type Owner = Driver;

    const NAME: &'static CStr = c"remove_id";
    const MODE: Mode = 0o200;

    fn store(drv: &Driver, input: &[u8]) -> Result {
        let name = parse::name(input)?;

        match_ids()?
            .lock()
            .remove(&(drv.key(), name.region, name.instance));
        Ok(())
    }
}
