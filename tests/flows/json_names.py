"""What the JSON of each verb calls its values: scripts of others read it, so that none goes."""

_EVALUATED = """alpha augmentation augmentation_off below_floor beyond_one bias bins count dae eta
    eta_error feh floor floor_thread high limit_count logg low max_abs_relative_error_median
    mean_abs_relative_error mean_abs_relative_error_p10 mean_abs_relative_error_p50
    mean_abs_relative_error_p90 mean_abs_relative_error_p99 methods none parameters pca pixels
    savgol smoothing snr_9_11 snr_high snr_low split teff total wiener"""
_CONDITIONS = """field_angle moon_phase moon_target_angle moon_zenith_angle seeing zenith_angle"""
_STAR = "alpha ebv feh logg magnitude redshift teff"
NAMES = {
    "cache clear": "bytes files folder",
    "cache info": "bytes files folder folders grids kinds limit_bytes logs numba runs templates",
    "config diff": "a b key",
    "config reference": "A B C default keys meaning name only_with recipes takes unit",
    "config show": "key origin value",
    "dataset info": """arithmetic block by bytes checksum codec commit config core_seconds files
        fingerprint folder host license made medium mode name physics_version resolution rows
        source state stellar_grid train validation version""",
    "dataset list": "bytes fingerprint made mode name place rows state train validation",
    "deploy": "name",
    "diff": """a b differs entries highest is_same largest largest_at_nm lowest mean_ratio name
        only_in_a only_in_b p_corrected p_value parameters rms_from_one rows spectra split splits
        statistic tested wavelengths""",
    "etc": """conditions conversion_e figures moon_e out sky_continuum_e sky_lines_e stray_e
        variance_e2""",
    "etc-grid build": "url",
    "etc-grid check": """aperture_fraction atmosphere_transmission compared_terms_above conversion_e
        effective_area_m2 errors grid_bytes is_good largest moon_e record rms rows seed
        sky_continuum_e sky_lines_e sky_subtraction_variance_e2 stray_e tolerance
        total_variance""",
    "evaluate": _EVALUATED,
    "grid diff": """alpha attrs axes feh is_same largest logg node nodes only_in_a only_in_b rms
        teff wavelengths""",
    "grid download": "basis bytes files there to_fetch urls",
    "grid import": "checksum files_read holes nodes planes_kept store",
    "grid info": """alpha attrs axes bytes_in_memory bytes_on_disk checksum feh fingerprint first_nm
        last_nm license location logg medium missing name nodes points points_per_unit_ln
        resolution source teff version wavelength""",
    "grid list": "bosz2017 bosz2024 embedded releases stores",
    "grid verify": "damaged nodes problems",
    "inspect": f"""{_STAR} {_CONDITIONS} block bytes checksum chunk codec complete files
        first_never_used flux_scale folder fraction_impossible_geometries looked_at mode never_used
        nodes pixels_above_one present progress ranges rows snr train validation written""",
    "lineage": "commit fingerprint kind made note parents place state version",
    "plot": "out panels title",
    "prune": "bytes goes is_dry_run kind place removed stays why written",
    "refresh": "changes is_due place reason seconds stage",
    "replay": f"""{_STAR} {_CONDITIONS} convolved dark_e exposure_count exposure_time_s flux
        flux_off_again flux_off_plain flux_scale flux_stored interpolated_axis medians moon_e
        reddened row sampled shifted sky_continuum_e sky_lines_e snr source_e stray_e template
        variance variance_off_again variance_off_plain variance_physical variance_stored written""",
    "report": f"""{_EVALUATED} ablation axis baseline beaten bin binned claims comparisons cpu_ms
        error error_noisy evaluation examples fits generalisation kl_divergence magnitude max
        max_abs_error max_abs_relative_error max_error mean mean_abs_error mean_error
        mean_relative_error method name network note of ours outcome p10 p50 p90 p99 place redshift
        row runs sentence snr tested_alike text unit value verdict""",
    "runs list": "dataset epochs name place recipe started state validation_loss",
    "simulate": f"""{_STAR} {_CONDITIONS} columns exposure_count exposure_time_s filled flux_scale
        out skipped snr spectra""",
    "verify": "blocks bytes dataset files fingerprint problems spectra",
}
